"""Lockstep: the real classes on simulated time, bit for bit repeatable, and ended like any session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from launch.lockstep import Lockstep, practise_lockstep
from launch.manifest import Setup
from launch.parity import parity
from launch.run_data import RunData
from launch.session import Session, create_session
from launch.snapshot import Snapshot
from learners.journal import Journal
from robot.errors import SandlotError
from robot.log_reader import Log, read_log
from robot.messages import Actor, SafetyState

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("lockstep")]


def session(runs: Path, seed: int, minutes: float = 0.5, resume: str = "") -> Session:
    setup = Setup(demonstration_laps=1, update_ratio=1, resume=resume)
    return create_session(
        "racer",
        "oval",
        role="practice",
        runs=runs,
        twin=True,
        fast=True,
        seed=seed,
        minutes=minutes,
        setup=setup,
    )


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays of records are equal to the last bit in every field, NaN payloads included."""
    if a.dtype.names:
        return all(same(a[name], b[name]) for name in a.dtype.names)
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Session, Log]]:
    """Two sessions of one seed, and one of another."""
    made = {}
    for name, seed, minutes in (("one", 5, 0.42), ("again", 5, 0.42), ("other", 6, 0.12)):
        run = session(tmp_path_factory.mktemp(name), seed, minutes)
        practise_lockstep(run)
        made[name] = (run, read_log(run.directory))
    return made


def test_one_seed_gives_one_log(logs) -> None:
    (_, one), (_, again) = logs["one"], logs["again"]
    for topic in ("ticks", "steps", "pilot"):
        first, second = getattr(one, topic), getattr(again, topic)
        assert len(first) == len(second) > 0 and same(first, second), topic
    assert [e.event for e in one.events] == [e.event for e in again.events]


def test_another_seed_gives_another_log(logs) -> None:
    one, other = logs["one"][1], logs["other"][1]
    ticks = len(other.ticks)
    assert ticks > 600 and not same(one.ticks[:ticks], other.ticks)


def test_a_demonstrated_lap_then_the_policy_drives(logs) -> None:
    steps = logs["one"][1].steps
    acting = steps[~steps["last"]]
    shown, own = acting["actor"] == Actor.SCRIPT, acting["actor"] == Actor.POLICY
    assert shown.sum() > 200 and own.sum() > 20
    assert np.flatnonzero(shown).max() < np.flatnonzero(own).min()
    assert (acting["policy_version"][own] > 0).all() and (acting["policy_version"][shown] == 0).all()


def test_every_row_reached_the_learner_once(logs) -> None:
    run, log = logs["one"]
    journal = Journal(run.learner / "journal" / "rows.journal", run.contract.step_dtype())
    learned = np.concatenate([rows for _, rows in journal.replay()])
    assert len(learned) == len(log.steps) and same(learned, log.steps)
    summary = RunData(run).summary()
    assert summary["transitions"] == summary["transitions_durable"] == len(log.steps)


def test_an_exported_policy_acts_on_what_the_robot_saw_as_what_was_trained(logs) -> None:
    run, log = logs["one"]
    found = parity(run.directory, run.spec, 0)
    assert found.difference is not None and found.difference <= 1e-5
    assert f"{len(log.steps)} logged observations" in found.words


def test_a_run_goes_on_with_another_one_s_learner(logs, tmp_path: Path) -> None:
    run, log = logs["one"]
    again = session(tmp_path, 5, 0.05, str(run.directory))
    left = again.learner.with_name(".learner.partial")
    left.mkdir()  # of a copy that was killed
    (left / "half").touch()
    practise_lockstep(again)
    journal = Journal(again.learner / "journal" / "rows.journal", again.contract.step_dtype())
    rows = np.concatenate([rows for _, rows in journal.replay()])
    assert same(rows[: len(log.steps)], log.steps) and len(rows) > len(log.steps)
    assert len(journal.sessions()) == 2 and not left.exists()
    newest = [max(path.name for path in (one.learner / "checkpoints").iterdir()) for one in (run, again)]
    assert newest[1] > newest[0]


def test_the_robot_is_stopped_before_the_data_is_closed_whatever_happens(tmp_path: Path) -> None:
    run = session(tmp_path, 7)

    def fail(lockstep: Lockstep, now: Snapshot) -> None:
        if lockstep.practised_s > 4.0:
            raise RuntimeError("somebody's bug")

    with pytest.raises(RuntimeError, match="somebody's bug"):
        practise_lockstep(run, fail)
    log = read_log(run.directory)
    assert log.complete
    speed = run.spec.state_layout.index(run.spec.stop.standstill)
    assert log.ticks["state"][:, speed].max() > 0.5
    assert log.ticks["safety_state"][-1] == SafetyState.FAULT
    assert abs(log.ticks["state"][-1, speed]) < run.spec.stop.standstill_below
    assert not run.board_directory.exists()


def test_a_learner_that_fails_leaves_a_closed_log_and_no_shared_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = session(tmp_path, 7)
    lockstep = Lockstep(run)

    def pump() -> bool:
        raise SandlotError("learning has diverged")

    monkeypatch.setattr(lockstep.server, "pump", pump)
    with pytest.raises(SandlotError, match="diverged"):
        try:
            lockstep.run(1.0)
        finally:
            lockstep.close()
    assert read_log(run.directory).complete
    assert not run.board_directory.exists()


def test_a_full_disk_stops_the_robot(tmp_path: Path) -> None:
    run = session(tmp_path, 7)

    def fill(lockstep: Lockstep, now: Snapshot) -> None:
        if lockstep.practised_s > 4.0:
            lockstep.courier._minimum_free = 1 << 62

    with pytest.raises(SandlotError, match="disk is full"):
        practise_lockstep(run, fill)
    log = read_log(run.directory)
    assert log.complete and "disk_full" in [logged.event.kind for logged in log.events]
    stopped_s = (log.ticks["time_ns"][-1] - log.times("disk_full")[0]) / 1e9
    assert stopped_s <= run.spec.stop.hold_s + run.spec.stop.deadline_s
    assert log.ticks["safety_state"][-1] == SafetyState.FAULT


def test_a_session_that_cannot_begin_leaves_no_shared_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = session(tmp_path, 7)

    def broken(*_: object) -> None:
        raise SandlotError("no such world")

    monkeypatch.setattr("launch.lockstep.load_world", broken)
    with pytest.raises(SandlotError, match="no such world"):
        practise_lockstep(run)
    assert not run.board_directory.exists()


def test_a_session_that_ended_before_its_first_tick_says_so(tmp_path: Path) -> None:
    run = session(tmp_path, 7)
    Lockstep(run).close()
    with pytest.raises(SandlotError, match="no tick of the guardian"):
        RunData(run)
