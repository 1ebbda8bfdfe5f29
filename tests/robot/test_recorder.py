"""The log: equal to what was recorded, to independent readers too, and readable wherever it was cut."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from mcap_ros2.decoder import DecoderFactory
from small_session import CONTRACT, SPEC, make_rows, make_ticks

from robot.errors import SandlotError, WireError
from robot.frame_file import DiskFullError
from robot.image_message import Frame, decode_frame
from robot.log_reader import read_log
from robot.log_repair import Message, messages, repair, rewrite, seal
from robot.messages import PILOT_DTYPE, Event
from robot.recorder import EVENTS, PILOT, STEPS, TICKS, Recorder


def record(path: Path, chunks: int = 4, close: bool = True) -> list[int]:
    """A log of ``chunks`` chunks, 10 ticks, 2 steps, a pilot record and an event in each; the file's size
    after each flush."""
    recorder = Recorder(path, SPEC, CONTRACT, {"manifest": "seed = 3"})
    sizes = []
    pilot = np.zeros(1, PILOT_DTYPE)
    for k in range(chunks):
        recorder.rows(TICKS, 10 * k, make_ticks(10 * k, 10))
        recorder.rows(STEPS, 2 * k, make_rows(2 * k, 2))
        pilot["sequence"], pilot["laps"], pilot["time_ns"] = k + 1, k, k * 10**9
        recorder.rows(PILOT, k + 1, pilot)
        recorder.event("guardian", Event(time_ns=k * 10**9, kind="state", value=k, text="ACTIVE"), k)
        recorder.flush()
        sizes.append(path.stat().st_size)
    if close:
        recorder.close()
    return sizes


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "log.mcap"
    record(path)
    return path


def test_the_log_gives_back_what_was_recorded(whole: Path) -> None:
    log = read_log(whole)
    assert log.complete
    assert log.lost_bytes == 0
    assert (log.ticks == make_ticks(0, 40)).all()
    assert (log.steps == make_rows(0, 8)).all()
    assert log.pilot["laps"].tolist() == [0, 1, 2, 3]
    assert log.sequences[TICKS].tolist() == list(range(40))
    assert [(e.source, e.event.value) for e in log.events] == [("guardian", k) for k in range(4)]
    assert log.times("state") == [k * 10**9 for k in range(4)]
    assert log.metadata["manifest"] == "seed = 3"
    assert log.metadata["contract_hash"] == CONTRACT.hash()
    with pytest.raises(SandlotError, match="did you mean /ticks"):
        log["/tick"]


def test_events_can_be_read_alone(whole: Path) -> None:
    assert read_log(whole, [EVENTS]).events == read_log(whole).events != []


def test_frames_are_as_the_camera_gave_them_and_any_reader_of_ros_knows_them(tmp_path: Path) -> None:
    path = tmp_path / "log.mcap"
    frames = [
        Frame("front", 7 + k, 10**9 + k * 33_333_333, 10**9 + k * 33_333_333 + 4_000_000, "jpeg", bytes(k))
        for k in range(9)
    ]
    recorder = Recorder(path, SPEC, CONTRACT)
    for frame in frames:
        recorder.frame(frame)
    recorder.close()
    assert read_log(path).frames == {"front": frames}
    with path.open("rb") as file:
        found = [
            (message.sequence, message.publish_time, message.log_time, decoded)
            for *_, message, decoded in make_reader(
                file, decoder_factories=[DecoderFactory()]
            ).iter_decoded_messages(topics=["/camera/front"])
        ]
    for frame, (number, captured, received, decoded) in zip(frames, found, strict=True):
        assert (number, captured, received) == (frame.number, frame.captured_ns, frame.received_ns)
        assert decoded.header.stamp.sec * 10**9 + decoded.header.stamp.nanosec == frame.captured_ns
        assert (decoded.header.frame_id, decoded.format) == ("front", "jpeg")
        assert bytes(decoded.data) == frame.data
    whole = frames[3].encode()
    for size in range(len(whole)):
        with pytest.raises(WireError, match="none"):
            decode_frame(whole[:size], 0, 0)


def test_a_log_is_rewritten_with_some_messages_changed_and_the_rest_as_they_were(
    whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mcap"

    def edit(message: Message) -> Message | None:
        if message.topic == PILOT:
            return None
        return (
            dataclasses.replace(message, sequence=message.sequence + 5) if message.topic == STEPS else message
        )

    before = whole.read_bytes()
    assert rewrite(whole, out, edit, {"note": "shorter"}) == 4 * 13
    log, original = read_log(out), read_log(whole)
    assert whole.read_bytes() == before
    assert len(log.arrays.get(PILOT, ())) == 0
    assert log.sequences[STEPS].tolist() == [k + 5 for k in range(8)]
    assert (log.ticks == original.ticks).all() and (log.steps == original.steps).all()
    assert log.metadata == original.metadata | {"note": "shorter"}
    assert [m.topic for m in messages(out)].count(TICKS) == 40
    assert list(tmp_path.iterdir()) == [out]


def test_an_independent_reader_agrees(whole: Path) -> None:
    ticks, steps = make_ticks(0, 40), make_rows(0, 8)
    with whole.open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        summary = reader.get_summary()
        assert summary is not None and summary.statistics is not None
        assert summary.statistics.message_count == 4 * (10 + 2 + 1 + 1)
        tick = step = 0
        for _, channel, message, decoded in reader.iter_decoded_messages(topics=[TICKS, STEPS]):
            if channel.topic == TICKS:
                assert decoded.state_velocity_body_x == ticks[tick]["state"][3]
                assert decoded.time_ns == ticks[tick]["time_ns"] == message.log_time
                tick += 1
            else:
                assert decoded.observation_velocity_y == steps[step]["observation"][1]
                assert decoded.last == steps[step]["last"]
                step += 1
        assert (tick, step) == (40, 8)


def test_cut_at_any_byte_every_whole_chunk_is_read(tmp_path: Path) -> None:
    source = tmp_path / "log.mcap"
    sizes = record(source, chunks=2)
    data = source.read_bytes()
    cut = tmp_path / "cut.mcap"
    for size in range(0, len(data), 23):
        cut.write_bytes(data[:size])
        try:
            log = read_log(cut)
        except SandlotError:
            assert size < sizes[0]
            continue
        chunks = len(log.ticks) // 10
        assert chunks >= sum(size >= s for s in sizes)
        assert (log.ticks == make_ticks(0, 10 * chunks)).all()
        assert (log.steps == make_rows(0, 2 * chunks)).all()
        assert len(log.events) == chunks
        assert log.complete is (size == len(data))


def test_damage_stops_the_reading_and_never_alters_it(whole: Path, tmp_path: Path) -> None:
    data = whole.read_bytes()
    damaged = tmp_path / "damaged.mcap"
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(data), 150):
        changed = bytearray(data)
        changed[at] ^= 1 << rng.integers(8)
        damaged.write_bytes(changed)
        try:
            log = read_log(damaged, [TICKS, STEPS])
        except SandlotError:
            continue
        count = len(log.arrays.get(TICKS, ()))
        assert (log.ticks == make_ticks(0, count)).all()


def test_a_sealed_log_opens_with_any_streaming_reader(tmp_path: Path) -> None:
    path, cut = tmp_path / "log.mcap", tmp_path / "cut.mcap"
    sizes = record(path, close=False)
    data = path.read_bytes()
    for size in (sizes[0], sizes[0] + 5, sizes[1] - 1, sizes[2] + 100, len(data)):
        cut.write_bytes(data[:size])
        dropped = seal(cut)
        assert seal(cut) == 0
        with cut.open("rb") as file:
            messages = [
                r for r in StreamReader(file, validate_crcs=True).records if type(r).__name__ == "Message"
            ]
        log = read_log(cut)
        assert log.complete
        assert len(log.ticks) >= 10 * sum(size >= s for s in sizes)  # a chunk precedes its index
        assert len(messages) == 14 * (len(log.ticks) // 10)
        assert dropped >= 0


def test_a_repaired_log_has_its_index_and_every_whole_message(tmp_path: Path) -> None:
    path, cut, out = tmp_path / "log.mcap", tmp_path / "cut.mcap", tmp_path / "out.mcap"
    sizes = record(path)
    cut.write_bytes(path.read_bytes()[: sizes[2] + 40])
    assert repair(cut, out) == 3 * 14
    with out.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None and summary.statistics is not None
    assert summary.statistics.message_count == 3 * 14
    before, after = read_log(cut), read_log(out)
    assert (before.ticks == after.ticks).all()
    assert before.events == after.events
    assert before.metadata == after.metadata
    with pytest.raises(SandlotError, match="exists"):
        repair(cut, out)


def test_the_logs_of_one_run_read_as_one(tmp_path: Path) -> None:
    record(tmp_path / "log.mcap", chunks=1, close=False)
    (tmp_path / "log.1.mcap").touch()  # killed while making it
    recorder = Recorder(tmp_path / "log.2.mcap", SPEC, CONTRACT)
    recorder.rows(TICKS, 10, make_ticks(10, 5))
    recorder.close()
    log = read_log(tmp_path)
    assert (log.ticks == make_ticks(0, 15)).all()
    assert log.ticks.dtype == make_ticks(0, 1).dtype, "aligned as it was"
    assert len(log.steps) == 2


def test_two_equal_sessions_leave_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        record(tmp_path / f"{name}.mcap")
    assert (tmp_path / "a.mcap").read_bytes() == (tmp_path / "b.mcap").read_bytes()


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.mcap").write_bytes(b"something else entirely")
    with pytest.raises(SandlotError, match="not an MCAP file"):
        read_log(tmp_path / "x.mcap")
    with pytest.raises(SandlotError, match=r"no log\.mcap"):
        read_log(tmp_path)


def test_a_full_disk_leaves_a_readable_log_and_loses_nothing_once_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        (disk / "filler").write_bytes(bytes(60_000))
        recorder = Recorder(disk / "log.mcap", SPEC, CONTRACT)
        rng = np.random.default_rng(0)
        rows, flushed = 0, 0
        with pytest.raises(DiskFullError):
            for rows in range(0, 10_000, 10):
                ticks = make_ticks(rows, 10)
                ticks["deviation"] = rng.normal(size=ticks["deviation"].shape)
                recorder.rows(TICKS, rows, ticks)
                recorder.flush()
                flushed = rows + 10
        assert recorder.pending
        assert flushed > 0
        assert read_log(disk / "log.mcap").ticks["tick"].tolist() == list(range(flushed))
        (disk / "filler").unlink()
        recorder.close()
        log = read_log(disk / "log.mcap")
        assert log.complete
        assert log.ticks["tick"].tolist() == list(range(rows + 10))
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    shutil.rmtree(disk)
