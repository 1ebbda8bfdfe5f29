"""Every defect that a recording can have is seeded, and named; a sound one has none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from small_recording import make_frame, rows_of, ticks_of, write_recording
from small_session import CONTRACT, SPEC

from launch.data.diagnosis import diagnose
from launch.data.recording import open_recording
from launch.data.union import merge
from robot.log_repair import Message, repair, rewrite
from robot.log_schema import CDR_HEADER
from robot.messages import Event
from robot.recorder import STEPS, TICKS, Recorder

DTYPES = {TICKS: ticks_of(0, 1).dtype, STEPS: rows_of(0, 1).dtype}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "log.mcap"
    write_recording(path, camera=True)
    return path


def failures(path: Path) -> dict[str, str]:
    return {f.check: f.text for f in diagnose(path) if f.status != "ok"}


def test_a_sound_recording_has_nothing_wrong_with_it(sound: Path) -> None:
    findings = diagnose(sound)
    assert [f for f in findings if f.status != "ok"] == []
    assert {f.check for f in findings} == {"whole", "spec", "order", "drift", "frames", "episodes"}


def field(topic: str, change: Callable[[np.void], None]) -> Callable[[Message], Message | None]:
    """An edit of the rows of a topic."""

    def edit(message: Message) -> Message | None:
        if message.topic != topic:
            return message
        row = np.frombuffer(message.data, DTYPES[topic], 1, len(CDR_HEADER)).copy()
        change(row[0])
        return dataclasses.replace(message, data=CDR_HEADER + row.tobytes())

    return edit


def back(row: np.void) -> None:
    if row["tick"] == 300:
        row["time_ns"] -= 500_000_000


def pause(row: np.void) -> None:
    if row["tick"] >= 300:
        row["time_ns"] += 200_000_000


def slow(row: np.void) -> None:
    row["time_ns"] = row["time_ns"] * 103 // 100


def nan(row: np.void) -> None:
    if row["sequence"] == 70:
        row["observation"][1] = np.nan


def stumble(row: np.void) -> None:
    if row["sequence"] == 70:
        row["step"] += 3


def without(topic: str, numbers: range) -> Callable[[Message], Message | None]:
    return lambda m: None if m.topic == topic and m.sequence in numbers else m


def wrong_clock(message: Message) -> Message | None:
    if not message.topic.startswith("/camera"):
        return message
    frame = make_frame(message.sequence)
    captured = frame.captured_ns + (frame.captured_ns - 10**9) // 200  # gains 5 ms a second
    late = dataclasses.replace(frame, captured_ns=captured - 500_000_000)
    return dataclasses.replace(message, data=late.encode(), publish_time_ns=captured)


@pytest.mark.parametrize(
    ("check", "says", "edit"),
    [
        ("order", "/ticks: time goes back 1 times, first after record 299 by 0.490 s", field(TICKS, back)),
        ("gaps", "/ticks: 1 pauses of more than 3 periods, longest 0.210 s", field(TICKS, pause)),
        ("gaps", "/ticks: 40 records are missing and 0 are out of order", without(TICKS, range(100, 140))),
        ("drift", "/steps: 19.42 a second; 20 are nominal", field(STEPS, slow)),
        ("values", "observation is not finite in 1 rows, first in episode 1", field(STEPS, nan)),
        ("episodes", "steps are missing inside episodes [1]", field(STEPS, stumble)),
        ("episodes", "episodes [1] have no final observation", without(STEPS, range(99, 100))),
        (
            "frames",
            "front: 5 frames were dropped (2.2%), 0 came twice",
            without("/camera/front", range(60, 65)),
        ),
        ("drift", "front: its clock drifts by -4.", wrong_clock),
    ],
)
def test_a_seeded_defect_is_named(
    sound: Path, tmp_path: Path, check: str, says: str, edit: Callable[[Message], Message | None]
) -> None:
    path = tmp_path / "log.mcap"
    rewrite(sound, path, edit)
    texts = [f.text for f in diagnose(path) if f.status != "ok" and f.check == check]
    assert any(text.startswith(says) for text in texts), texts


def test_a_cut_file_is_named_and_its_repair_is_the_prefix(sound: Path, tmp_path: Path) -> None:
    cut, mended = tmp_path / "cut.mcap", tmp_path / "mended.mcap"
    data = sound.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    assert failures(cut)["whole"].startswith("cut.mcap was cut off or damaged")
    repair(cut, mended)
    assert cut.read_bytes() == data[: len(data) // 2]
    assert failures(mended).keys() <= {"episodes"}  # the last one may have been cut off
    whole, part = open_recording(sound).log, open_recording(mended).log
    for topic, rows in part.arrays.items():
        assert (rows == whole.arrays[topic][: len(rows)]).all()
    assert len(part.ticks) and len(part.frames["front"])
    assert part.frames["front"] == whole.frames["front"][: len(part.frames["front"])]
    assert part.events == whole.events[: len(part.events)]


def test_an_index_that_says_otherwise_than_the_records_is_named(sound: Path, tmp_path: Path) -> None:
    """The count of the frames is changed in the statistics, with every checksum as it would be."""
    path = tmp_path / "log.mcap"
    data = sound.read_bytes()
    channel_and_count = (5).to_bytes(2, "little") + (225).to_bytes(8, "little")
    at = data.rfind(channel_and_count)
    assert at > 0
    changed = bytearray(data)
    changed[at + 2] = 224
    changed[-12:-8] = bytes(4)  # no checksum of the summary
    path.write_bytes(changed)
    assert failures(path) == {"index": "log.mcap: 225 of /camera/front, the index says 224"}


def test_a_spec_of_another_robot_is_named(sound: Path, tmp_path: Path) -> None:
    other = msgspec.structs.replace(SPEC, name="another")
    path = tmp_path / "log.mcap"
    rewrite(sound, path, about={"spec": msgspec.json.encode(other).decode()})
    assert "its spec is not that of its" in failures(path)["spec"]
    mixed = tmp_path / "mixed"
    write_recording(mixed / "log.mcap")
    contract = msgspec.structs.replace(CONTRACT, task="other")
    recorder = Recorder(mixed / "log.1.mcap", SPEC, contract)
    recorder.event("pilot", Event(0, "beginning"))
    recorder.close()
    texts = [f.text for f in diagnose(mixed) if f.check == "spec" and f.status == "failed"]
    assert texts == ["log.1.mcap: its spec is not that of its contract of the file before"]


def test_recordings_put_together_are_sound_though_each_has_its_clock(sound: Path, tmp_path: Path) -> None:
    write_recording(tmp_path / "b" / "log.mcap", rows_of(0, 100))
    merge([open_recording(sound), open_recording(tmp_path / "b")], tmp_path / "both")
    assert failures(tmp_path / "both") == {}
    both = open_recording(tmp_path / "both")
    assert [e.number for e in both.episodes] == [0, 1, 2, 3, 4]
    assert both.steps["sequence"].tolist() == list(range(250))
