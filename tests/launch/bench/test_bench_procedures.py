"""The truth about hidden robots, what rows add up to, and that nothing is driven twice."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from launch.bench import procedures
from launch.bench.procedures import DRIVEN, FOLLOWS, NORMAL, Row, calibrated_in, figures, lines, measure
from launch.bench.procedures_robot import (
    MOST_ASIDE,
    HiddenRobot,
    accepted_error,
    hidden_robot,
    truth_of,
    with_rounding,
)
from launch.bench.row_file import append, read
from launch.catalogue import find
from robot.errors import SandlotError
from robot.spec import load_spec
from sim.car import car_parameters
from sim.surrogate import load_surrogate


def row(
    robot: int,
    quantity: str = "servo_gain",
    sigmas: float = 0.0,
    procedure: str = "steering",
    passed: int = 1,
    refused: str = "",
    accepted: float = math.nan,
) -> Row:
    """Off by so many of its standard deviations, which are 0.5."""
    at = -2.0 + 0.5 * sigmas
    low, high = at - 0.5 * NORMAL, at + 0.5 * NORMAL
    found = Row(robot, "twin", procedure, quantity, 0, -2.0, math.nan, at, low, high, passed, accepted, 1.0)
    if not refused:
        return found
    return replace(found, quantity="", truth=math.nan, estimate=math.nan, passed=0, refused=refused)


def test_coverage_is_that_of_the_intervals_that_hold_and_nothing_counts_twice() -> None:
    rows = [row(n, sigmas=1.9) for n in range(17)] + [row(17, sigmas=-2.0), row(18, sigmas=3.0, passed=0)]
    rows += [row(n, FOLLOWS[0], sigmas=9.0, procedure="speed") for n in range(19)]
    rows += [row(19, refused="no passes"), row(19, procedure="motor", refused="no brakes")]
    found = figures(rows)
    assert (found["robots"], found["procedures_refused"], found["procedures_failed"]) == (20, 2, 1)
    assert (found["intervals"], found["intervals_hold"], found["passed_intervals"]) == (19, 17, 18)
    # Two-sided: of all outcomes those that are no likelier than this one.
    chances = binom.pmf(np.arange(20), 19, 0.95)
    assert found["coverage_p"] == pytest.approx(chances[chances <= chances[17] * (1 + 1e-9)].sum())
    assert found["worst_sigmas"] == pytest.approx(3.0) and found["passed_worst_sigmas"] == pytest.approx(2.0)
    assert found[f"{FOLLOWS[0]}_coverage_ratio"] == 0.0
    assert figures([row(0, refused="no passes")])["intervals"] == 0


def test_a_line_has_errors_in_units_and_in_standard_deviations() -> None:
    rows = [row(n, sigmas=s, accepted=0.6) for n, s in enumerate((-1.0, 0.2, 4.0))]
    (line,) = lines([*rows, row(3, refused="no turns")])
    assert (line.n, line.passed, line.holds, line.accepted) == (3, 3, 2, 2)
    assert line.median_error == pytest.approx(0.5) and line.worst_sigmas == pytest.approx(4.0)
    assert line.mean_sigmas == pytest.approx(3.2 / 3)
    assert lines([row(0)])[0].accepted is None
    mixed = lines([row(0, procedure=name) for name in ("motor", "steering", "speed")])
    assert [line.procedure for line in mixed] == ["speed", "steering", "motor"]


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.csv"
    assert read(path, Row) == []
    rows = [row(0, sigmas=1.0), row(1, refused='2 passes, "3" were expected;\nwas it stopped?')]
    append(path, rows[:1])
    append(path, rows[1:])
    again = read(path, Row)
    assert [r.refused for r in again] == [r.refused for r in rows]
    assert again[0].estimate == rows[0].estimate and math.isnan(again[1].truth)
    path.write_text("seed,laps\n1,2\n")
    with pytest.raises(SandlotError, match="--csv"):
        read(path, Row)


def test_a_robot_as_its_file_has_it_is_the_truth_s_fixed_point() -> None:
    spec = load_spec(find("robots", "racer"))
    truth = truth_of(spec, car_parameters(spec))
    # F1TENTH's 4614 is rounded, and so are the gears that were made of it.
    assert truth["erpm_per_speed"] == pytest.approx(spec.scalar("erpm_per_speed"), rel=1e-4)
    assert truth["antenna_before_rear_axle"] == spec.scalar("rear_axle")
    for name in ("servo_gain", "servo_offset", "wheel_radius", "rolling_resistance"):
        assert truth[name] == spec.scalar(name)
    rng = np.random.default_rng(0)
    assert np.std(np.rint(rng.normal(0.0, 1.5, 400_000))) == pytest.approx(with_rounding(1.5, 1.0), rel=4e-3)


def test_what_the_reference_accepts_is_said_in_the_quantity_s_unit() -> None:
    spec = load_spec(find("robots", "racer"))
    off = accepted_error(spec, "servo_offset", 0.53) / abs(spec.scalar("servo_gain"))
    radius = spec.scalar("wheelbase") / math.tan(off)  # of the arc that such an offset steers along
    assert radius - math.sqrt(radius**2 - 9.0) == pytest.approx(MOST_ASIDE, rel=1e-3)
    assert accepted_error(spec, "erpm_per_speed", 4600.0) == pytest.approx(46.0)
    assert math.isnan(accepted_error(spec, "gyroscope_noise", 0.003))


def test_hidden_robots_are_what_their_files_say_they_are(tmp_path: Path) -> None:
    first, again, other = hidden_robot(0, 0), hidden_robot(0, 0), hidden_robot(1, 0)
    assert first.truth == again.truth and first.truth != other.truth
    robot, surrogate = first.save(tmp_path)
    spec = load_spec(robot)
    assert spec == first.spec
    truth = truth_of(spec, car_parameters(spec, load_surrogate(surrogate).truths(spec)))
    assert truth == pytest.approx(first.truth)
    base = load_spec(find("robots", "racer"))
    changed = {n for n in base.calibration if base.calibration[n] != spec.calibration[n]}
    assert changed == {"gyroscope_noise", "accelerometer_noise", "gnss_antenna"}
    # What is weighed beforehand is as far off as the file says, not as far as robots of the kind are.
    masses = [hidden_robot(n, 0).surrogate.truths(spec)["mass"] for n in range(12)]
    assert np.abs(np.array(masses) - base.scalar("mass")).max() <= 2.0 * base.calibration["mass"].sigma + 1e-9


def test_nothing_is_driven_twice_unless_its_entry_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven: list[str] = []

    def drives(hidden: HiddenRobot, number: int, seed: int, name: str) -> list[Row]:
        driven.append(name)
        if name == "steering" and driven.count(name) == 1:
            raise KeyboardInterrupt
        if name == "imu":
            return [row(number, procedure=name, refused="it was touched")]
        entries = procedures._entries(hidden)
        entries.mkdir(parents=True, exist_ok=True)
        (entries / f"{name}.toml").touch()
        return [row(number, procedure=name)]

    monkeypatch.setattr(procedures, "measure", drives)
    path, said = tmp_path / "rows.csv", list[str]()
    with pytest.raises(KeyboardInterrupt):
        procedures.run(1, 0, path, tmp_path / "runs", said.append)
    assert [r.procedure for r in read(path, Row)] == ["speed", "imu"]
    driven.clear()
    driven.append("steering")
    rows = procedures.run(1, 0, path, tmp_path / "runs", said.append)
    assert driven[1:] == ["steering", "motor", "antenna"]
    assert [r.procedure for r in rows] == list(DRIVEN) == [r.procedure for r in read(path, Row)]
    whole = path.read_text().splitlines()
    path.write_text("\n".join(whole[:3]) + "\n")
    driven.clear()
    driven.append("steering")
    procedures.run(1, 0, path, tmp_path / "elsewhere", said.append)
    assert driven[1:] == ["speed", "steering", "motor", "antenna"]
    assert [r.split(",")[2] for r in path.read_text().splitlines()] == [r.split(",")[2] for r in whole]
    driven.clear()
    procedures.run(1, 0, path, tmp_path / "nowhere", said.append)
    assert not driven


@pytest.mark.slow
def test_a_hidden_robot_measures_its_inertial_sensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calibration.imu.STILL_S", 30.5)  # as short as it is still believed
    robot = hidden_robot(2, 0)
    with calibrated_in(tmp_path):
        gyroscope, accelerometer = measure(robot, 2, 0, "imu")
    assert (tmp_path / "racer@hidden-2" / "imu.toml").exists()
    assert (gyroscope.quantity, gyroscope.passed, gyroscope.told) == ("gyroscope_noise", 1, 1)
    # Twice what such a robot usually has: read from the sensor, not from the file.
    assert gyroscope.truth > 0.005 and gyroscope.estimate == pytest.approx(gyroscope.truth, rel=0.03)
    assert accelerometer.estimate == pytest.approx(accelerometer.truth, rel=0.03)
    assert gyroscope.cpu_s > 0.0 and not gyroscope.refused
