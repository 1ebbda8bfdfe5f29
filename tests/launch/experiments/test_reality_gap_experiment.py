"""Which calibration practises and which one drives, and that nothing is made twice."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from calibration.drive import Drive
from calibration.entry import Check, Quantity
from calibration.procedure import Estimate
from calibration.twin_work import TwinWork
from launch.calibrated import calibrated_spec
from launch.evaluation import Evaluation
from launch.experiments import reality_gap
from launch.session import Session
from sim.surrogate import load_surrogate

pytest.importorskip("matplotlib")
GAIN = calibrated_spec("racer").calibration["servo_gain"]
FILE, FOUND = GAIN.value, -1.31


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What would take hours is noted only."""
    notes: list[tuple[object, ...]] = []

    def estimated(drives: list[Drive], work: TwinWork) -> Estimate:
        notes.append(("identified", drives[0].spec.scalar("servo_gain")))
        quantities = (Quantity("servo_gain", "1/rad", FOUND),)
        return Estimate("by hand", quantities, np.eye(1) * 1e-4, (Check("made up", "1", 0.0, 1.0),), ())

    def practised(session: Session) -> None:
        spec, setup = session.spec, session.manifest.setup
        notes.append(
            ("practised", spec.scalar("servo_gain"), spec.calibration["servo_gain"].sigma, setup.redraw_s)
        )
        (session.policies / "000001.onnx").write_bytes(b"a policy")
        session.remove_board()

    def drove(
        robot: str, course: str, policy: Path, surrogate: str, minutes: float, seed: int, runs: Path
    ) -> Evaluation:
        spec, body = calibrated_spec(robot, surrogate), load_surrogate(Path(surrogate))
        notes.append(("drove", spec.scalar("servo_gain"), policy.stem, body.name))
        return Evaluation(minutes, 5, 4.0, 3.9, 4.2, 1, 1, 0, 0.0)

    monkeypatch.setattr(reality_gap, "estimate", estimated)
    monkeypatch.setattr(reality_gap, "practise_lockstep", practised)
    monkeypatch.setattr(reality_gap, "drive_policy", drove)
    monkeypatch.setattr(reality_gap, "ROBOTS", (0,))
    monkeypatch.setattr(reality_gap, "LOG_S", 0.5)
    return notes


@pytest.mark.slow
def test_each_case_has_its_own_calibration_in_practice_and_onboard(
    made: list[tuple[object, ...]], tmp_path: Path
) -> None:
    said: list[str] = []
    reality_gap.run(tmp_path / "gap.csv", [3], said.append)
    assert made == [
        ("identified", FILE),
        ("practised", FILE, GAIN.sigma, 0.0),
        ("drove", FILE, "file_seed_3", "hidden-0"),
        ("drove", FOUND, "file_seed_3", "hidden-0"),
        ("practised", FOUND, pytest.approx(0.01), 0.0),
        ("drove", FOUND, "robot_0_seed_3", "hidden-0"),
        ("practised", FOUND, pytest.approx(0.01), reality_gap.REDRAW_S),
        ("drove", FOUND, "robot_0_drawn_seed_3", "hidden-0"),
    ]
    with (tmp_path / "gap.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == list(reality_gap.CASES)
    assert (tmp_path / "gap.png").read_bytes().startswith(b"\x89PNG")
    made.clear()
    reality_gap.run(tmp_path / "gap.csv", [3], said.append)
    assert made == []
    # What is lost of the rows is driven again, by the policies that are there.
    lines = (tmp_path / "gap.csv").read_text().splitlines(keepends=True)
    (tmp_path / "gap.csv").write_text("".join(lines[:-1]))
    reality_gap.run(tmp_path / "gap.csv", [3], said.append)
    assert made == [("drove", FOUND, "robot_0_drawn_seed_3", "hidden-0")]
