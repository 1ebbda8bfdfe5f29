"""Surrogates: what their files say is what is driven, delays included, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from car_drills import CAR, OVAL, SPEC
from point_plant import PointPlant

from launch.catalogue import FOLDERS, find, names
from robot.clock import SimulatedClock
from robot.errors import SpecError
from robot.interface import Measurements, make_driver
from sim.bicycle import Bicycle
from sim.emulators.faults import Fault, FaultPlan
from sim.emulators.line import LineDelay
from sim.emulators.rig import Rig
from sim.surrogate import Deviation, Surrogate, load_surrogate, make_twin
from sim.twin import CarTwin

MS = 1_000_000
ALL = names("surrogates")


def test_there_are_some_and_one_is_not_mujoco() -> None:
    assert {"slippery", "heavy", "worn", "late", "bicycle", "stranger"} <= set(ALL)
    assert load_surrogate(find("surrogates", "bicycle")).twin == "sim.bicycle:Bicycle"


@pytest.mark.parametrize("name", ALL)
def test_each_is_another_robot_and_says_why(name: str) -> None:
    surrogate = load_surrogate(find("surrogates", name))
    assert surrogate.name == name and surrogate.description
    lines = surrogate.lines(SPEC)
    assert len(lines) == len(surrogate.truth) + len(surrogate.delays) + bool(surrogate.twin) > 0
    assert all(change.reason for change in (*surrogate.truth, *surrogate.delays))
    twin = make_twin(SPEC, OVAL, np.random.default_rng(0), surrogate)
    assert isinstance(twin, Bicycle if surrogate.twin else CarTwin)
    for change in surrogate.truth:
        believed, true = getattr(CAR, change.parameter), getattr(twin.car, change.parameter)
        assert true == pytest.approx(believed * change.factor + change.offset)
        assert true != believed
    assert all(line.device in {device.name for device in SPEC.devices} for line in surrogate.delays)


def test_none_is_the_twin_as_calibrated() -> None:
    twin = make_twin(SPEC, OVAL, np.random.default_rng(0))
    assert isinstance(twin, CarTwin) and twin.car == CAR
    assert Surrogate().lines(SPEC) == []


def test_other_truth_goes_over_the_surrogate_s() -> None:
    surrogate = Surrogate("x", "", truth=(Deviation("mass", "", 2.0), Deviation("width", "", 1.0, 0.01)))
    twin = make_twin(SPEC, OVAL, np.random.default_rng(0), surrogate, {"mass": 3.0})
    assert (twin.car.mass, twin.car.width) == (3.0, CAR.width + 0.01)


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="tyre_friction"):
        Surrogate("x", "", truth=(Deviation("tire_friction", "", 2.0),)).truths(SPEC)
    with pytest.raises(SpecError, match="slippery"):
        find("surrogates", "sliperry")
    path = tmp_path / "x.toml"
    for text, said in (("name = 1", "name"), ("description = 'x'", "has a name"), ("= 1", "TOML")):
        path.write_text(text)
        with pytest.raises(SpecError, match=said):
            load_surrogate(path)
    path.write_text("name = 'x'\n[[delays]]\ndevice = 'gnss'\nto = 'host'\nseconds = -1.0\n")
    with pytest.raises(SpecError, match="0 s or more"):
        load_surrogate(path)
    with pytest.raises(SpecError, match="gnss"):
        Rig(SPEC, PointPlant(), np.random.default_rng(0), delays=[LineDelay("gns", "host", 0.1)])


def test_a_line_s_delay_is_added_to_faults_and_outlives_them() -> None:
    plan = FaultPlan(np.random.default_rng(0))
    plan.line_delay_ns["host"] = 5 * MS
    assert plan.apply(b"a", 0) == [(b"a", 5 * MS)]
    assert plan.apply(b"a", 0, "device") == [(b"a", 0)]
    plan.set([Fault(kind="delay", delay_s=0.002), Fault(kind="duplicate")])
    assert plan.apply(b"a", 0) == [(b"a", 7 * MS)] * 2
    plan.set([])
    assert plan.apply(b"a", 0) == [(b"a", 5 * MS)]
    assert plan.counts == {"delay": 1, "duplicate": 1}


def fixes(delays: list[LineDelay]) -> list[int]:
    """When fixes arrive [ms] in the first second."""
    clock, arrived = SimulatedClock(0), []
    rig = Rig(SPEC, PointPlant(), np.random.default_rng(0), delays=delays)
    device = next(d for d in SPEC.devices if d.name == "gnss")
    driver = make_driver(SPEC, device, rig.ports(clock)["gnss"])
    measurements, seen = Measurements(SPEC), 0
    driver.open(0)
    for k in range(1, 1000):
        clock.sleep_until(k * MS)
        driver.poll(k * MS, measurements)
        if measurements.sequence("gnss") > seen:
            seen = measurements.sequence("gnss")
            arrived.append(k)
    return arrived


def test_a_delayed_device_arrives_later_by_just_that() -> None:
    prompt, late = fixes([]), fixes([LineDelay("gnss", "host", 0.08)])
    assert len(prompt) >= 9
    assert [b - a for a, b in zip(prompt, late, strict=False)] == [80] * len(late)


def test_the_folder_is_the_catalogue_s() -> None:
    assert FOLDERS["surrogates"].name == "surrogates" and ALL
