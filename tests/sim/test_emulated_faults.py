"""Each fault does what its name says, only in its window, reproducibly, and the driver names what it saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from point_plant import PointPlant

from robot.clock import SimulatedClock
from robot.errors import PortError
from robot.interface import Measurements, make_driver
from robot.spec import load_spec
from sim.emulators.faults import Fault, FaultPlan
from sim.emulators.rig import Rig

SPEC = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
TICK = 10_000_000
FRAME = bytes(range(40))


def plan(*faults: Fault, seed: int = 0) -> FaultPlan:
    return FaultPlan(np.random.default_rng(seed), faults)


def test_kinds_and_windows() -> None:
    second = 1_000_000_000
    assert plan(Fault(kind="drop", start_s=1, end_s=2)).apply(FRAME, second) == []
    assert plan(Fault(kind="drop", start_s=1, end_s=2)).apply(FRAME, 2 * second) == [(FRAME, 0)]
    assert plan(Fault(kind="drop", to="device")).apply(FRAME, second) == [(FRAME, 0)]
    assert plan(Fault(kind="duplicate")).apply(FRAME, 0) == [(FRAME, 0)] * 2
    assert plan(Fault(kind="delay", delay_s=0.02)).apply(FRAME, 0) == [(FRAME, 20_000_000)]
    ((damaged, _),) = plan(Fault(kind="corrupt")).apply(FRAME, 0)
    flipped = sum((a ^ b).bit_count() for a, b in zip(damaged, FRAME, strict=True))
    assert 1 <= flipped <= 3
    assert plan(Fault(kind="unplug", start_s=1, end_s=2)).unplugged(second)
    assert not plan(Fault(kind="unplug", start_s=1, end_s=2)).unplugged(2 * second)


def test_truncated_frames_end_too_soon_and_noise_comes_before_them() -> None:
    cut = plan(Fault(kind="truncate"))
    for k in range(100):
        ((data, _),) = cut.apply(FRAME, k)
        assert 0 < len(data) < len(FRAME) and FRAME.startswith(data)
    noisy = plan(Fault(kind="noise"))
    for k in range(100):
        (noise, _), whole = noisy.apply(FRAME, k)
        assert 0 < len(noise) < 40 and whole == (FRAME, 0)


def test_reordered_frames_all_arrive_each_pair_swapped() -> None:
    faults = plan(Fault(kind="reorder"))
    sent = [bytes([k]) for k in range(6)]
    passed = [data for frame in sent for data, _ in faults.apply(frame, 0)]
    assert passed == [bytes([k]) for k in (1, 0, 3, 2, 5, 4)]
    assert faults.counts == {"reorder": 3}


def test_replayed_frames_are_old_ones_of_the_same_kind() -> None:
    faults = plan(Fault(kind="replay", start_s=1.0))
    for k in range(10):  # what is replayed may have passed before the fault began
        assert faults.apply(b"a%d" % k, k, key="a") == [(b"a%d" % k, 0)]
        assert faults.apply(b"b%d" % k, k, key="b") == [(b"b%d" % k, 0)]
    for k in range(100):
        (old, _), (new, _) = faults.apply(b"a!%d" % k, 10**9 + k, key="a")
        assert new == b"a!%d" % k != old and old.startswith(b"a")


def test_a_fault_hits_only_its_kind_of_frame_and_only_so_often() -> None:
    faults = plan(Fault(kind="drop", key="a", most=2, start_s=1.0))
    assert faults.apply(b"a", 0, key="a") and faults.first_ns == {}
    second = 10**9
    assert faults.apply(b"b", second, key="b")
    assert [faults.apply(b"a", second + k, key="a") for k in range(1, 5)] == [
        [],
        [],
        [(b"a", 0)],
        [(b"a", 0)],
    ]
    assert faults.counts == {"drop": 2} and faults.first_ns == {"drop": second + 1}


def test_a_port_that_fails_once_is_lost_until_it_is_opened_again() -> None:
    clock = SimulatedClock()
    faults = plan(Fault(kind="error", most=1, start_s=0.1))
    port = Rig(SPEC, PointPlant(), np.random.default_rng(0), {"vesc": faults}).ports(clock)["vesc"]
    port.open()
    assert port.write(b"x") == 1
    clock.sleep_until(200_000_000)
    with pytest.raises(PortError, match="EIO"):
        port.read()
    assert not port.is_open and faults.counts == {"error": 1}
    with pytest.raises(PortError, match="not open"):
        port.write(b"x")
    port.open()
    assert port.write(b"x") == 1


def test_frozen_frames_repeat_by_kind_and_thaw() -> None:
    faults = plan(Fault(kind="freeze", end_s=1.0))
    assert faults.apply(b"a1", 0, key="a") == [(b"a1", 0)]
    assert faults.apply(b"b1", 0, key="b") == [(b"b1", 0)]
    assert faults.apply(b"a2", 1, key="a") == [(b"a1", 0)]
    assert faults.apply(b"a3", 10**9, key="a") == [(b"a3", 0)]


def test_the_same_seed_hits_the_same_frames() -> None:
    def hits(seed: int) -> list[int]:
        faults = plan(Fault(kind="drop", probability=0.3), seed=seed)
        return [len(faults.apply(FRAME, k)) for k in range(200)]

    assert hits(1) == hits(1) != hits(2)
    assert 30 < hits(1).count(0) < 90


CASES = [
    (Fault(kind="drop", probability=0.3), {"vesc": {"late"}, "gnss": set()}),
    (
        Fault(kind="corrupt", probability=0.3),
        {
            "vesc": {
                "bad_crc",
                "bad_stop",
                "oversize",
                "garbage",
                "late",
                "short_frame",
                "unexpected_packet",
            },
            "gnss": {"bad_checksum"},
        },
    ),
    (Fault(kind="duplicate", probability=0.3), {"vesc": {"unexpected_packet"}, "gnss": {"duplicate"}}),
    (
        Fault(kind="delay", delay_s=0.04, probability=0.2),
        {"vesc": {"late", "unexpected_packet"}, "gnss": set()},
    ),
    (
        Fault(kind="truncate", probability=0.3),
        {
            "vesc": {"late", "short_frame", "bad_stop", "bad_crc", "unexpected_packet"},
            "gnss": {"bad_checksum"},
        },
    ),
    (Fault(kind="reorder", probability=0.3), {"vesc": set(), "gnss": set()}),
    (Fault(kind="unplug", start_s=0.5, end_s=0.8), {"vesc": {"port_lost"}, "gnss": {"port_lost"}}),
    (Fault(kind="freeze", start_s=0.5), {"vesc": set(), "gnss": {"duplicate"}}),
]


@pytest.mark.parametrize(("fault", "expected"), CASES, ids=[case[0].kind for case in CASES])
def test_drivers_count_what_happens_to_them_by_name_and_go_on(
    fault: Fault, expected: dict[str, set[str]]
) -> None:
    clock = SimulatedClock()
    plans = {d.name: plan(fault, seed=k) for k, d in enumerate(SPEC.devices)}
    rig = Rig(SPEC, PointPlant(), np.random.default_rng(0), plans)
    ports = rig.ports(clock)
    drivers = {d.name: make_driver(SPEC, d, ports[d.name]) for d in SPEC.devices}
    measurements = Measurements(SPEC)
    for driver in drivers.values():
        driver.open(0)

    def drive(ticks: int) -> None:
        for _ in range(ticks):
            clock.sleep_until(clock.now_ns() + TICK)
            for driver in drivers.values():
                driver.poll(clock.now_ns(), measurements)
            for driver in drivers.values():
                driver.command(clock.now_ns(), np.array([1.0, 0.0])[: len(driver.actuators)])

    drive(400)
    for name, driver in drivers.items():
        assert set(driver.health.errors) <= expected[name] | {"garbage", "no_answer"}
        assert not expected[name] or set(driver.health.errors) & expected[name]
        if fault.kind != "unplug":
            assert plans[name].counts[fault.kind] > 0
    for faults in plans.values():
        faults.set(())
    drive(60)  # after which everything is as before
    before = {s.name: measurements.sequence(s.name) for s in SPEC.sensors}
    drive(100)
    for sensor in SPEC.sensors:
        due = sensor.rate_hz
        assert measurements.sequence(sensor.name) - before[sensor.name] == pytest.approx(due, abs=1)
