"""The end of a session says whether calibration and twin still hold, and what to do if not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from calibration.drive import Drive, read_drive
from launch.calibrate import watch
from launch.calibrate.watch import consistency
from launch.session import Session, create_session

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    made = create_session("racer", "oval", role="run", runs=tmp_path, twin=True, surrogate="worn")
    shutil.copyfile(GOLDEN / "normal.mcap", made.log)
    return made


@pytest.mark.slow
def test_of_a_few_seconds_of_driving_the_twin_is_not_asked(session: Session) -> None:
    assert not [line for line in consistency(session) if "twin" in line]


@pytest.mark.parametrize(
    ("times", "said"),
    [(1.3, "the twin does what the robot did, to 1.3 noise floors"), (5.0, "parts from the robot by 5.0")],
)
def test_a_twin_that_parts_is_to_be_identified_again(
    session: Session, times: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "twin_parts", lambda spec, recorded: (times, 2.0))
    *_, last = consistency(session)
    assert said in last
    assert ("sandlot calibrate racer twin --log" in last) == (times > 2.0)


@pytest.mark.slow
def test_what_the_car_does_that_hits_something_does_not_count(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(GOLDEN / "bump.mcap", session.log)
    judged: list[Drive] = []
    monkeypatch.setattr(watch, "watch", lambda drive: judged.append(drive) or [])
    list(consistency(session))
    driven = read_drive(session.directory)[0]
    assert 0 < judged[0].free.sum() < driven.free.sum()
    assert not (judged[0].free & ~driven.free).any()


def test_a_log_that_cannot_be_read_is_no_error(session: Session) -> None:
    session.log.write_bytes(b"not a log")
    (told,) = consistency(session)
    assert told.startswith("calibration not checked: ")
