"""Practice on a surrogate: the whole stack drives another robot than the calibrated one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from car_drills import CAR

from launch.bench import practice
from launch.bench.calm import CalmSession, make_session
from launch.catalogue import names
from launch.manifest import load_manifest
from launch.options.onboard import OnboardOptions
from launch.options.practice import PracticeOptions
from launch.practice import onboard, practise
from launch.session import create_session
from robot.errors import SandlotError, SpecError
from robot.messages import SafetyState
from robot.teleop.pure_pursuit import PurePursuit
from sim.bicycle import Bicycle

SLOW = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in names("surrogates")
    if name not in ("bicycle", "late", "worn")
]
"""These differ in parameters alone, which is checked without driving."""


def drive(runs: Path, name: str, seconds: float) -> CalmSession:
    """The scripted pure-pursuit driver in lockstep, as it would drive the twin."""
    session = make_session("racer", "oval", 0, runs, name)
    calm = CalmSession(session, varied=False)
    calm.driver._driver = PurePursuit(calm.spec, session.course, 3.0, lateral=4.0)
    try:
        calm.run(seconds)
        return calm
    finally:
        calm.close()


@pytest.mark.slow
def test_other_physics_behind_the_same_ports_is_lapped(tmp_path: Path) -> None:
    calm = drive(tmp_path, "bicycle", 12.0)
    assert isinstance(calm.twin, Bicycle)
    assert calm.tally.laps >= 1
    assert (calm.tally.failures, calm.tally.assists, calm.tally.stops) == (0, 0, [])


@pytest.mark.parametrize("name", ["late", "worn", *SLOW])
def test_every_surrogate_arms_and_drives(tmp_path: Path, name: str) -> None:
    calm = drive(tmp_path, name, 3.0)
    assert calm.state == SafetyState.ACTIVE
    assert calm.tally.metres > 3.0 and not calm.tally.stops


def test_nothing_onboard_is_told_and_the_manifest_remembers(tmp_path: Path) -> None:
    sessions = [
        create_session(
            "racer", "oval", role="practice", runs=tmp_path, twin=True, fast=True, surrogate=surrogate
        )
        for surrogate in (None, "worn")
    ]
    plain, worn = (load_manifest(session.directory) for session in sessions)
    assert (plain.surrogate.name, worn.surrogate.name) == ("", "worn")
    assert worn.surrogate.truths(sessions[1].spec)["wheel_radius"] == pytest.approx(0.97 * CAR.wheel_radius)
    assert worn.spec["calibration"] == plain.spec["calibration"] and worn.spec["twin"] == plain.spec["twin"]
    assert worn.contract_hash == plain.contract_hash
    assert worn.calibration_hash == plain.calibration_hash


def test_a_surrogate_takes_the_twin_s_place_and_nothing_else_s(tmp_path: Path) -> None:
    with pytest.raises(SandlotError, match="--hardware"):
        practise(PracticeOptions(hardware=True, surrogate="worn", runs=tmp_path))
    with pytest.raises(SandlotError, match="--twin"):
        onboard(OnboardOptions(surrogate="worn", runs=tmp_path))
    with pytest.raises(SpecError, match="no twin"):
        create_session("racer", "oval", role="onboard", runs=tmp_path, twin=False, surrogate="worn")
    with pytest.raises(SpecError, match="worn"):
        create_session("racer", "oval", role="practice", runs=tmp_path, twin=True, surrogate="wron")
    assert not any(tmp_path.iterdir())


def test_a_table_from_before_surrogates_takes_none(tmp_path: Path) -> None:
    csv_file = tmp_path / "old.csv"
    practice.append(csv_file, {"robot": "racer", "seed": 0})
    with pytest.raises(SandlotError, match="--csv"):
        practice.run("racer", "oval", "learner", 0, 1.0, None, csv_file, tmp_path, False, "worn")


def test_a_manifest_from_before_surrogates_is_read(tmp_path: Path) -> None:
    session = create_session("racer", "oval", role="practice", runs=tmp_path, twin=True, fast=True)
    plain = msgspec.to_builtins(session.manifest)
    del plain["surrogate"]
    assert msgspec.convert(plain, type(session.manifest)).surrogate.name == ""
