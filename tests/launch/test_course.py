"""The best lap of a teleoperated session becomes a course, and what is no lap is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from driven_stadium import LAP, off_stadium, stadium

from launch.cli import parse
from launch.session import Session, create_session
from robot.errors import SandlotError, SpecError
from robot.messages import Actor, Event, tick_dtype
from robot.practice.course import load_course
from robot.recorder import STEPS, TICKS, Recorder

HZ = 100
STEP_M = 0.015
"""At 1.5 m/s."""
Drive = list[tuple[np.ndarray, Actor, dict[str, float]]]
"""Positions, who drove, and elements of the state that are not 0."""


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return create_session("racer", "oval", role="teleop", runs=tmp_path / "runs", twin=True)


def record(session: Session, drives: Drive, episodes: tuple[tuple[float, float], ...] = ()) -> None:
    """One tick for each position; ``episodes``: from and to which share of it, the first a failure."""
    spec, layout, parts = session.spec, session.spec.state_layout, []
    for positions, actor, more in drives:
        ticks = np.zeros(len(positions), tick_dtype(spec))
        ticks["actor"], ticks["converged"] = actor, True
        ticks["state"][:, layout["position_world"]] = positions
        ticks["state"][:, layout.index("velocity_body_x")] = 1.5
        for name, value in more.items():
            ticks["state"][:, layout.index(name)] = value
        parts.append(ticks)
    ticks = np.concatenate(parts)
    ticks["tick"] = np.arange(len(ticks))
    ticks["time_ns"] = 10**9 + np.arange(len(ticks)) * (10**9 // HZ)
    recorder = Recorder(session.log, spec, session.contract)
    recorder.rows(TICKS, 0, ticks)
    for number, shares in enumerate(episodes):
        rows = np.zeros(2, session.contract.step_dtype())
        rows["episode"], rows["sequence"], rows["actor"] = number, 2 * number + np.arange(2), Actor.HUMAN
        rows["time_ns"] = [int(ticks["time_ns"][int(share * (len(ticks) - 1))]) for share in shares]
        recorder.rows(STEPS, 2 * number, rows)
    if episodes:
        recorder.event("pilot", Event(10**12, "take_failure", 0.0, ""))
    recorder.close()


def from_demo(session: Session, *words: str) -> int:
    parsed = parse(["course", "from-demo", str(session.directory), *words])
    assert parsed is not None
    return parsed[0].load()(parsed[1])


def lap(laps: float, start: float = 1.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return stadium(laps * LAP, start=start, step=STEP_M) + rng.normal(0.0, 0.002, (1, 2))


@pytest.mark.slow
def test_the_clean_lap_is_taken_of_those_that_were_driven(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = lap(3.05)
    third = len(whole) // 3
    # The first lap stops and drives on, the second one hits a wall.
    wait = np.repeat(whole[300:301], 150, axis=0)
    record(
        session,
        [
            (whole[:300], Actor.HUMAN, {}),
            (wait[:50], Actor.SAFETY, {"velocity_body_x": 0.0}),
            (wait[50:], Actor.NOBODY, {"velocity_body_x": 0.0}),
            (whole[300 : third + 200], Actor.HUMAN, {}),
            (whole[third + 200 : third + 220], Actor.HUMAN, {"impact": 60.0}),
            (whole[third + 220 :], Actor.HUMAN, {}),
            (lap(0.5, start=6.0), Actor.POLICY, {}),
        ],
    )
    out = tmp_path / "hall.toml"
    assert from_demo(session, "--name", "hall", "--output", str(out)) == 0
    said = capsys.readouterr().out
    rows = [line.split() for line in said.splitlines() if line[:1].isdigit()]
    assert [(row[0], row[7]) for row in rows] == [("1", "1"), ("2", "0"), ("3", "0")], "stops"
    assert "hit something (6 g)" in said and "this one" in said.splitlines()[3]
    assert f"--course {out} --world oval" in said.replace("\n", "")
    course = load_course(out)
    _, x, y, _ = course.table()
    assert off_stadium(x, y).max() < 0.05 and course.length == pytest.approx(LAP, rel=0.02)
    picture = out.with_suffix(".png").read_bytes()
    assert picture[:4] == b"\x89PNG" and len(picture) < 100_000
    assert from_demo(session, "--name", "hall", "--output", str(out), "--lap", "2") == 0
    with pytest.raises(SandlotError, match="has laps 1 to 3"):
        from_demo(session, "--lap", "4")


def test_a_take_that_was_called_a_failure_is_no_course(
    session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(session, [(lap(2.1), Actor.HUMAN, {})], ((0.0, 0.47), (0.53, 1.0)))
    assert from_demo(session, "--output", str(tmp_path / "c.toml")) == 0
    said = capsys.readouterr().out.splitlines()
    assert "take failure" in said[1] and "this one" in said[2]


def test_partial_laps_with_the_robot_carried_back_are_refused_with_how_far_they_came(
    session: Session, tmp_path: Path
) -> None:
    record(session, [(lap(0.7), Actor.HUMAN, {}), (lap(0.8), Actor.HUMAN, {})])
    with pytest.raises(SpecError, match=r"does not close: 16\.\d m were driven.*Drive on"):
        from_demo(session, "--output", str(tmp_path / "c.toml"))
    assert not (tmp_path / "c.toml").exists()


def test_what_the_policy_drove_is_no_demonstration(session: Session) -> None:
    record(session, [(lap(1.2), Actor.POLICY, {}), (lap(0.1), Actor.HUMAN, {})])
    with pytest.raises(SandlotError, match="no demonstration of ten seconds"):
        from_demo(session)
