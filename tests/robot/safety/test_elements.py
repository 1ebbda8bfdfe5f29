"""Everything a limit may watch: its name, its unit, its place, and the way from there to a verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from safety_robot import small_robot

from robot.errors import SpecError
from robot.messages import Cause
from robot.safety.elements import ElementLayout
from robot.safety.monitors import Monitors
from robot.safety.state_machine import Request
from robot.spec import RobotSpec

MS = 1_000_000

STATE = [
    {"name": "position_world", "unit": "m", "elements": ["x", "y"]},
    {"name": "heading", "unit": "rad"},
    {"name": "velocity_body", "unit": "m/s", "elements": ["x", "y"]},
]
SENSOR = {"device": "d", "rate_hz": 100, "latency_s": 0.0, "stale_s": 0.05}
SENSORS = [
    {
        "name": "drive",
        "fields": [{"name": "current", "unit": "A"}, {"name": "voltage", "unit": "V"}],
        **SENSOR,
    },
    {"name": "imu", "fields": [{"name": "rate", "unit": "rad/s", "elements": ["x", "y"]}], **SENSOR},
]
ACTUATORS = [
    {"name": "speed", "device": "d", "unit": "m/s", "lower": -2, "upper": 5, "slew": 8, "rest": 0.5},
    {"name": "steering", "device": "d", "unit": "rad", "lower": -0.3, "upper": 0.3, "slew": 3},
]
FENCE = {
    "radius": 0.5,
    "deceleration": 4.0,
    "reaction_s": 0.1,
    "turning_radius": 1.0,
    "source": "",
    "site": {"polygon": [[-5, -5], [5, -5], [5, 5], [-5, 5]], "obstacles": []},
}
SIGNALS = [
    {"name": "power", "kind": "product", "of": ["drive.current", "drive.voltage"], "unit": "W"},
    {"name": "slip", "kind": "sum", "of": ["velocity_body_x", "imu.rate_y"], "unit": "m/s"},
    {"name": "mixed", "kind": "norm", "of": ["power", "slip"], "unit": "1"},
    {"name": "estimated", "kind": "norm", "of": ["heading", "fence"], "unit": "1"},
]
TABLE = [
    *(("position_world_x", "m"), ("position_world_y", "m"), ("heading", "rad")),
    *(("velocity_body_x", "m/s"), ("velocity_body_y", "m/s")),
    *(("drive.current", "A"), ("drive.voltage", "V"), ("imu.rate_x", "rad/s"), ("imu.rate_y", "rad/s")),
    *(("deviation.position_world_x", "m"), ("deviation.position_world_y", "m")),
    *(
        ("deviation.heading", "rad"),
        ("deviation.velocity_body_x", "m/s"),
        ("deviation.velocity_body_y", "m/s"),
    ),
    *(("sent.speed", "m/s"), ("sent.steering", "rad")),
    *(("heartbeat.pilot", "s"), ("heartbeat.courier", "s"), ("command.novelty", "1")),
    ("fence", "m"),
    *(("power", "W"), ("slip", "m/s"), ("mixed", "1"), ("estimated", "1")),
]
MADE_OF = {"power": {0}, "slip": {1}, "mixed": {0, 1}}


def car(limits: list[dict[str, Any]] | None = None, fence: dict[str, Any] | None = FENCE) -> RobotSpec:
    signals = SIGNALS if fence else SIGNALS[:3]
    safety = {"fence": fence} if fence else {}
    return small_robot(
        limits,
        signals,
        actuators=ACTUATORS,
        sensors=SENSORS,
        estimator={"driver": "x:Y", "state": STATE},
        stop={"kind": "brake", "hold_s": 1, "deadline_s": 1, "standstill": "heading", "standstill_below": 1},
        safety=safety,
    )


@pytest.mark.parametrize("fence", [FENCE, None])
def test_every_element_has_its_name_its_unit_and_its_place(fence: dict[str, Any] | None) -> None:
    layout = ElementLayout(car(fence=fence))
    table = [row for row in TABLE if fence or row[0] not in ("fence", "estimated")]
    assert list(zip(layout.names, layout.units, strict=True)) == table
    assert layout.size == len(table)
    parts = ("state", "sensors", "deviation", "sent", "heartbeats", "signals")
    sizes = [len(layout.names[getattr(layout, part)]) for part in parts]
    assert sizes == [5, 4, 5, 2, 2, len(SIGNALS) - (fence is None)]
    assert layout.names[layout.deviation][0] == "deviation.position_world_x"
    assert layout.names[layout.state][-1] == "velocity_body_y"
    assert layout.names[layout.sensors] == ("drive.current", "drive.voltage", "imu.rate_x", "imu.rate_y")
    assert layout.names[layout.sent] == ("sent.speed", "sent.steering")
    assert layout.names[layout.heartbeats] == ("heartbeat.pilot", "heartbeat.courier")
    assert layout.names[layout.novelty] == "command.novelty"
    assert layout.names[layout.signals][0] == "power"
    assert layout.fence == (layout.names.index("fence") if fence else None)


def test_an_element_depends_on_the_sensors_it_is_made_of_and_on_no_other() -> None:
    layout = ElementLayout(car())
    for name, row in zip(layout.names, layout.depends.tolist(), strict=True):
        sensors = {0} if name.startswith("drive.") else {1} if name.startswith("imu.") else set()
        assert {k for k, depends in enumerate(row) if depends} == MADE_OF.get(name, sensors), name


def test_an_unknown_element_is_refused_with_who_asked_and_what_was_meant() -> None:
    with pytest.raises(SpecError, match=r"r: somebody watches 'drive.curent'; did you mean drive.current"):
        ElementLayout(car()).index("drive.curent", "somebody")
    with pytest.raises(SpecError, match=r"r: signal 'x' watches 'nothing'"):
        ElementLayout(small_robot(signals=[{"name": "x", "kind": "sum", "of": ["nothing"], "unit": "1"}]))


@pytest.mark.parametrize("name", ["fence", "drive.current", "power"])
def test_a_signal_may_not_take_a_name_that_is_taken(name: str) -> None:
    taken = {"name": name, "kind": "sum", "of": ["heading"], "unit": "1"}
    spec = small_robot(
        signals=[*SIGNALS[:1], taken],
        actuators=ACTUATORS,
        sensors=SENSORS,
        estimator={"driver": "x:Y", "state": STATE},
        stop={"kind": "brake", "hold_s": 1, "deadline_s": 1, "standstill": "heading", "standstill_below": 1},
        safety={"fence": FENCE},
    )
    with pytest.raises(SpecError, match=f"r: '{name}' names two things"):
        ElementLayout(spec)


VIEWS = {
    "position_world_y": ("state", 1),
    "velocity_body_x": ("state", 3),
    "imu.rate_x": ("sensors", 2),
    "deviation.heading": ("deviation", 2),
    "sent.steering": ("sent", 1),
    "heartbeat.courier": ("silence", 1),
    "command.novelty": ("novelty", 0),
}


def settled(monitors: Monitors, now: int = 100 * MS) -> Any:
    """One update with sound sensors and an estimate."""
    return monitors.update(now, np.array([now, now]), np.array([now, now], np.uint64), False)


@pytest.mark.parametrize("name", VIEWS)
def test_what_is_written_into_a_view_reaches_the_limit_that_watches_it(name: str) -> None:
    unit = dict(TABLE)[name]
    watched = {"name": "l", "element": name, "unit": unit, "action": "reduce", "reason": "", "upper": 0.25}
    monitors = Monitors(car([watched]))
    monitors.state[:] = monitors.sensors[:] = monitors.deviation[:] = 0.0
    assert settled(monitors) == (Request.NONE, Cause.NONE, "")
    view, at = VIEWS[name]
    getattr(monitors, view)[at] = 0.3
    assert settled(monitors, 110 * MS) == (Request.REDUCE, Cause.LIMIT, "l")
    assert monitors.limits.margin[0] == pytest.approx(-0.05)


def test_the_margin_to_the_fence_and_the_signals_are_judged_as_of_this_tick() -> None:
    near = {
        "name": "fence",
        "element": "fence",
        "unit": "m",
        "action": "category1",
        "reason": "",
        "lower": 0.0,
    }
    hot = {"name": "hot", "element": "power", "unit": "W", "action": "category2", "reason": "", "upper": 10.0}
    monitors = Monitors(car([near, hot]))
    monitors.state[:] = monitors.sensors[:] = monitors.deviation[:] = 0.0
    assert settled(monitors).request == Request.NONE
    assert monitors.limits.margin.tolist() == [4.5, 10.0]
    monitors.state[0] = 4.75
    assert settled(monitors, 110 * MS) == (Request.CATEGORY1, Cause.LIMIT, "fence")
    monitors.state[0] = 4.0
    monitors.sensors[:2] = 4.0, 3.0
    assert settled(monitors, 120 * MS) == (Request.CATEGORY2, Cause.LIMIT, "hot")
    assert monitors.limits.margin.tolist() == pytest.approx([0.5, -2.0])


def test_before_anything_is_known_nothing_is_trusted() -> None:
    monitors = Monitors(car())
    assert np.isnan(monitors.state).all() and np.isnan(monitors.sensors).all()
    assert np.isposinf(monitors.deviation).all()
    assert monitors.sent.tolist() == [0.5, 0.0], "the drives are at rest until something was sent"
    assert monitors.silence.tolist() == [0.0, 0.0] and monitors.novelty.tolist() == [0.0]
    assert not monitors.dependable


def test_the_worst_limit_speaks_and_of_equals_the_first() -> None:
    def watching(name: str, element: str, unit: str, action: str) -> dict[str, Any]:
        return {"name": name, "element": element, "unit": unit, "action": action, "reason": "", "upper": 0.0}

    monitors = Monitors(
        car(
            [
                watching("a", "heading", "rad", "reduce"),
                watching("b", "velocity_body_x", "m/s", "category1"),
                watching("c", "velocity_body_y", "m/s", "category1"),
            ]
        )
    )
    monitors.sensors[:] = monitors.deviation[:] = 0.0
    monitors.state[:] = (0, 0, 1, 1, 1)
    assert settled(monitors) == (Request.CATEGORY1, Cause.LIMIT, "b")
    monitors.state[3] = 0.0
    assert settled(monitors, 110 * MS) == (Request.CATEGORY1, Cause.LIMIT, "c")
    monitors.state[4] = 0.0
    assert settled(monitors, 120 * MS) == (Request.REDUCE, Cause.LIMIT, "a")


@pytest.mark.parametrize(
    ("trouble", "moving", "expected"),
    [
        ("stale", False, (Request.CATEGORY2, Cause.SENSOR_STALE, "imu")),
        ("not finite", False, (Request.CATEGORY2, Cause.SENSOR_NOT_FINITE, "imu")),
        ("frozen", True, (Request.CATEGORY2, Cause.SENSOR_STALE, "imu frozen")),
        ("frozen", False, (Request.NONE, Cause.NONE, "")),
    ],
)
def test_a_sensor_in_trouble_is_named_with_its_trouble(trouble: str, moving: bool, expected: Any) -> None:
    monitors = Monitors(car())
    monitors.state[:] = monitors.sensors[:] = monitors.deviation[:] = 0.0
    verdict = None
    for k in range(1, 130):
        now = k * 10 * MS
        monitors.sensors[:2] = k
        monitors.sensors[2:] = 1.0 if trouble == "frozen" else -k
        if trouble == "not finite" and k > 100:
            monitors.sensors[3] = np.inf
        count = min(k, 100) if trouble == "stale" else k
        times = np.array([now, count * 10 * MS])
        verdict = monitors.update(now, times, np.array([k, count], np.uint64), moving)
    assert verdict == expected
    assert monitors.dependable == (trouble == "frozen")
