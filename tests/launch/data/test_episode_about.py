"""Who drove an episode, at which task, and how it went: from the session to every dataset, through parts and
unions of recordings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli_w
from small_recording import ENOUGH, rows_of, write_recording
from small_session import CALIBRATION, CONTRACT, KEY, SPEC, make_rows, push

from launch.data.episode_about import EpisodeAbout
from launch.data.excerpt import split
from launch.data.recording import Recording, open_recording
from launch.data.union import merge
from launch.notes import SessionNotes
from robot.board import Board
from robot.clock import SimulatedClock
from robot.courier import Courier
from robot.messages import Actor, Event

LATE_NS = 10**12
"""After the end of every episode, as a label may be."""


def manifest(operator: str, task: str) -> dict[str, str]:
    setup = {"operator": operator, "task": task, "teleop": "gamepad:/dev/input/event7"}
    return {"manifest": tomli_w.dumps({"setup": setup})}


def record(path: Path, operator: str, task: str, labels: list[tuple[str, int, str]]) -> Recording:
    rows = rows_of(0, ENOUGH)
    rows["actor"][~rows["last"] & (rows["episode"] != 2)] = Actor.HUMAN
    events = [Event(LATE_NS, kind, float(number), text) for kind, number, text in labels]
    write_recording(path / "log.mcap", rows, about=manifest(operator, task), labels=events)
    return open_recording(path)


ADA = EpisodeAbout("lap", "Ada", "gamepad")
BEN = EpisodeAbout("park", "Ben", "gamepad")


@pytest.fixture
def ada(tmp_path: Path) -> Recording:
    labels = [
        ("take_end", 0, ""),
        ("take_success", 0, ""),
        ("note", 0, "wide in the first bend"),
        ("take_failure", 1, ""),
        ("note", 1, "wet floor"),
        ("note", 1, "again"),
        ("take_drop", 1, ""),
        ("note", -1, "before anything"),
    ]
    return record(tmp_path / "ada", "Ada", "lap", labels)


@pytest.fixture
def ben(tmp_path: Path) -> Recording:
    labels = [("take_failure", 0, ""), ("take_success", 0, ""), ("note", 2, "the policy drove this")]
    return record(tmp_path / "ben", "Ben", "park", labels)


def expected() -> list[EpisodeAbout]:
    return [
        EpisodeAbout("lap", "Ada", "gamepad", True, False, ("wide in the first bend",)),
        EpisodeAbout("lap", "Ada", "gamepad", False, True, ("wet floor", "again")),
        EpisodeAbout("lap"),
        EpisodeAbout("park", "Ben", "gamepad", True),
        BEN,
        EpisodeAbout("park", notes=("the policy drove this",)),
    ]


def test_each_episode_has_what_was_said_of_it_and_parts_and_unions_keep_it(
    ada: Recording, ben: Recording, tmp_path: Path
) -> None:
    assert ada.about + ben.about == expected()
    merge([ada, ben], tmp_path / "both")
    both = open_recording(tmp_path / "both")
    assert both.about == expected()
    split(both, {1, 3}, tmp_path / "part")
    assert open_recording(tmp_path / "part").about == [expected()[1], expected()[3]]
    assert [a.label for a in both.about] == ["success", "dropped", "", "success", "", ""]


def test_the_datasets_say_it_too(
    ada: Recording, ben: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'data'")
    h5py = pytest.importorskip("h5py", reason="needs the extra 'data'")
    minari = pytest.importorskip("minari", reason="needs the extra 'data'")
    from launch.data.lerobot_export import export_lerobot
    from launch.data.minari_export import export_minari
    from launch.data.robomimic_export import export_robomimic

    merge([ada, ben], tmp_path / "both")
    both, plain = open_recording(tmp_path / "both"), [about.plain() for about in expected()]
    export_lerobot(both, tmp_path / "lerobot", "", "video")
    tasks = parquet.read_table(tmp_path / "lerobot/meta/tasks.parquet").to_pylist()
    assert {row["__index_level_0__"]: row["task_index"] for row in tasks} == {"lap": 0, "park": 1}
    rows = parquet.read_table(tmp_path / "lerobot/data/chunk-000/file-000.parquet").to_pylist()
    assert {(row["episode_index"], row["task_index"]) for row in rows} == {(k, k // 3) for k in range(6)}
    episodes = parquet.read_table(tmp_path / "lerobot/meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [row["tasks"] for row in episodes] == [["lap"]] * 3 + [["park"]] * 3
    told = json.loads((tmp_path / "lerobot/meta/sandlot_episodes.json").read_text())
    assert told == [{"episode": k, **about} for k, about in enumerate(plain)]
    export_robomimic(both, tmp_path / "demos.hdf5", "another task")
    with h5py.File(tmp_path / "demos.hdf5") as file:
        for k, about in enumerate(plain):
            found = dict(file[f"data/demo_{k}"].attrs)
            assert found.pop("task") == "another task"
            assert list(found.get("notes", [])) == about.get("notes", [])
            assert {n: found.get(n) for n in ("operator", "success")} == {
                n: about.get(n) for n in ("operator", "success")
            }
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    export_minari(both, "racer/laps-v0", "")
    metadata = minari.load_dataset("racer/laps-v0").storage.get_episode_metadata(range(6))
    for found, about in zip(metadata, plain, strict=True):
        assert found["task"] == about["task"] and found.get("operator") == about.get("operator")
        assert found.get("notes", "") == "; ".join(about.get("notes", []))


def test_a_note_is_kept_in_the_log_with_its_episode(tmp_path: Path) -> None:
    board, clock = Board(tmp_path / "board", SPEC, CONTRACT, create=True), SimulatedClock(10**9)
    courier = Courier(
        SPEC, CONTRACT, board, tmp_path / "run", None, clock, KEY, "session", CALIBRATION, sync_s=None
    )
    said: list[str] = []
    notes = SessionNotes(board, lambda time_ns, text: said.append(text))
    notes.keep(5, "nothing yet")
    push(board, make_rows(0, 70))
    notes.keep(7, "h\N{LATIN SMALL LETTER O WITH DIAERESIS}rt")
    courier.pump()
    courier.close()
    log = open_recording(tmp_path / "run").log
    logged = [e for e in log.events if e.event.kind == "note"]
    found = [(e.source, e.event.time_ns, e.event.value, e.event.text) for e in logged]
    assert found == [
        ("operator", 5, -1.0, "nothing yet"),
        ("operator", 7, 1.0, "h\N{LATIN SMALL LETTER O WITH DIAERESIS}rt"),
    ]
    assert said == ["note: nothing yet", "note: h\N{LATIN SMALL LETTER O WITH DIAERESIS}rt"]
