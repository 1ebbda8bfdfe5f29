"""The estimate that a fleet's pilots see is the truth, as late and as wrong as its figures say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot.spec import load_spec
from sim.estimate_errors import EstimateErrors, load_errors
from sim.fleet import CarFleet
from sim.fleet_drive import FleetDrive
from sim.fleet_senses import FleetSenses
from sim.world import load_world, world_path

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
LAYOUT = SPEC.state_layout
N, TICK_NS = 6, 10_000_000


def errors(**figures: float) -> EstimateErrors:
    """All elements as wrong as this, and 0 in what is not named."""
    found = load_errors(SPEC)
    for name in ("lag_s", "noise", "drift", "drift_time_s"):
        getattr(found, name)[:] = figures.get(name, 0.0)
    return found


def make(wrong: EstimateErrors, scale: float = 1.0) -> tuple[CarFleet, FleetSenses]:
    fleet = CarFleet(SPEC, load_world(world_path("oval")), ({},) * N, threads=1)
    drive = FleetDrive(SPEC, fleet)
    generators = [np.random.default_rng(k) for k in range(N)]
    senses = FleetSenses(SPEC, fleet, drive, wrong, generators, np.full(N, scale))
    senses.start()
    return fleet, senses


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_errors_have_the_measured_spread_and_memory(scale: float) -> None:
    noise, drift, time_s = 0.03, 0.05, 0.08
    _, senses = make(errors(noise=noise, drift=drift, drift_time_s=time_s), scale)
    found = []
    for tick in range(1500):
        senses.tick(tick * TICK_NS)
        found.append((senses.estimate - senses.truth)[:, LAYOUT["velocity_body"]].copy())
    error = np.array(found) / scale
    shared = [float((error[k:] * error[: len(error) - k]).mean()) for k in (0, 1, 8)]
    expected = [noise**2 + drift**2, drift**2 * np.exp(-0.01 / time_s), drift**2 * np.exp(-0.08 / time_s)]
    np.testing.assert_allclose(shared, expected, rtol=0.15)


def test_an_estimate_lags_by_as_much_as_its_element_does() -> None:
    lag_s, speed = 0.025, 3.0
    wrong = errors()
    wrong.lag_s[LAYOUT["position_world"].start] = lag_s
    wrong.lag_s[LAYOUT.index("heading")] = lag_s
    fleet, senses = make(wrong)
    yaw = 3.0
    for tick in range(20):
        x = speed * 0.01 * tick
        fleet.place(np.arange(N), np.tile([x, x, yaw + 2.0 * 0.01 * tick], (N, 1)))
        senses.tick(tick * TICK_NS)
    behind = senses.truth - senses.estimate
    behind[:, LAYOUT.index("heading")] %= 2.0 * np.pi  # it has gone past half a turn meanwhile
    np.testing.assert_allclose(behind[:, LAYOUT["position_world"]], [[speed * lag_s, 0.0]] * N, atol=1e-9)
    np.testing.assert_allclose(behind[:, LAYOUT.index("heading")], 2.0 * lag_s, atol=1e-9)
    assert (np.abs(senses.estimate[:, LAYOUT.index("heading")]) <= np.pi).all()


def test_an_impact_is_remembered_for_a_tenth_of_a_second() -> None:
    _, senses = make(errors())
    impacts = []
    for tick in range(20):
        senses._imu[:, 0] = 40.0 if tick == 3 else 1.0
        senses.tick(tick * TICK_NS)
        impacts.append(float(senses.truth[0, LAYOUT.index("impact")]))
    assert impacts[:3] == [1.0] * 3 and impacts[3:14] == [40.0] * 11 and impacts[14:] == [1.0] * 6


def test_sensors_say_what_the_devices_would() -> None:
    _, senses = make(errors())
    for tick in range(30):
        senses.tick(tick * TICK_NS)
    names = [f"{s.name}.{n}" for s in SPEC.sensors for n in s.layout.names]
    values = dict(zip(names, senses.sensors[0], strict=True))
    assert values["drive.input_voltage"] == pytest.approx(SPEC.scalar("battery_voltage"), abs=0.2)
    assert values["drive.erpm"] == pytest.approx(0.0, abs=100.0)
    assert values["imu.specific_force_z"] == pytest.approx(9.8, abs=1.0)
    assert values["gnss.position_world_x"] == pytest.approx(senses.truth[0, 0], abs=0.1)
    assert values["gnss.fix_type"] == 3.0
    assert senses.sequences[0].tolist() == [30, 30, 3]
    assert senses.times_ns[0].tolist() == [29 * TICK_NS, 29 * TICK_NS, 20 * TICK_NS]
