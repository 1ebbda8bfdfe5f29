"""What a person drove is the learner's own before anybody drives again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from launch.demonstrated import hand_over
from launch.session import Session, create_session
from learners.journal import Journal
from learners.prior_data import PRIOR_ACTORS
from robot.errors import ContractMismatchError, SandlotError
from robot.messages import Actor, Event
from robot.recorder import STEPS, Recorder


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return create_session("racer", "oval", role="practice", runs=tmp_path / "runs", twin=True)


def record(session: Session, folder: Path, actors: list[Actor], dropped: int | None = None) -> np.ndarray:
    """A set with an episode of twenty rows of each actor."""
    rows = np.zeros(20 * len(actors), session.contract.step_dtype())
    number = np.arange(len(rows))
    rows["sequence"], rows["episode"], rows["step"] = number, number // 20, number % 20
    rows["time_ns"] = 10**9 + number * 50_000_000
    rows["actor"], rows["last"] = np.array(actors)[number // 20], number % 20 == 19
    rows["reward"] = np.sin(number)
    rows["observation"] = np.sin(number)[:, None]
    folder.mkdir(parents=True)
    recorder = Recorder(folder / "log.mcap", session.spec, session.contract)
    recorder.rows(STEPS, 0, rows)
    if dropped is not None:
        recorder.event("pilot", Event(5, "take_drop", float(dropped), ""))
    recorder.close()
    return rows


def test_every_kept_episode_of_a_person_is_in_the_learners_journal(session: Session, tmp_path: Path) -> None:
    one = record(session, tmp_path / "set" / "monday", [Actor.HUMAN, Actor.POLICY, Actor.HUMAN], dropped=2)
    two = record(session, tmp_path / "set" / "tuesday", [Actor.SCRIPT])
    assert hand_over(session, [tmp_path / "set"]) == (2, 40)
    journal = Journal(session.learner / "journal" / "rows.journal", session.contract.step_dtype())
    found = dict(journal.replay())
    assert list(found) == ["demo-0", "demo-1"]
    for name, rows in (("demo-0", one[:20]), ("demo-1", two)):
        for field in ("observation", "reward", "actor", "last", "episode"):
            np.testing.assert_array_equal(found[name][field], rows[field])
        assert found[name]["sequence"].tolist() == list(range(20))
        assert set(found[name]["actor"].tolist()) <= set(PRIOR_ACTORS)


def test_nobody_and_somebody_elses_task_are_refused(session: Session, tmp_path: Path) -> None:
    from small_recording import write_recording

    record(session, tmp_path / "policy", [Actor.POLICY])
    with pytest.raises(SandlotError, match="nobody drove in"):
        hand_over(session, [tmp_path / "policy"])
    write_recording(tmp_path / "other" / "log.mcap")
    with pytest.raises(ContractMismatchError):
        hand_over(session, [tmp_path / "other"])
