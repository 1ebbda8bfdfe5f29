"""What a surrogate does otherwise than the twin: both are sent the same commands, through the same driver and
emulated devices, with nobody correcting; and what they make of them is measured and drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from launch.catalogue import find
from launch.figures import BLUE, GREEN, INK, ORANGE, PURPLE, RED, SOFT, STYLE, png
from robot.clock import SimulatedClock
from robot.errors import SandlotError
from robot.interface import Measurements, make_driver
from robot.spec import RobotSpec, load_spec
from sim.emulators.rig import Rig
from sim.plant import Twin
from sim.surrogate import Surrogate, load_surrogate, make_twin
from sim.world import Obstacle, hall

Floats = NDArray[np.float64]


class Command(NamedTuple):
    """A setpoint that holds ``until_s`` from the start: speed [m/s], steering [rad]."""

    until_s: float
    speed: float
    steering: float


SCRIPT = (
    Command(1.5, 1.5, 0.0),
    Command(4.0, 1.5, 0.2),
    Command(6.0, 3.5, 0.0),
    Command(8.0, 3.5, 0.15),
    Command(10.0, 3.5, -0.25),
    Command(11.5, 0.0, 0.0),
    Command(14.0, 2.0, 0.0),
)
"""A slow circle, acceleration, a fast bend each way, the second beyond what the tyres hold, a stop, and, set
down elsewhere, straight into a block. Each tells something of its own about the car."""
SET_DOWN_S, BEFORE_BLOCK = 11.5, (21.0, -26.0, 0.0)
"""When [s] and where the car is set down for that: x, y [m], yaw [rad]."""
BLOCK = Obstacle(shape="box", size=(1.0, 2.0, 0.3), x=25.0, y=-26.0)
"""All there is to meet in the hall."""
GREETING_S = 1.0
"""A motor controller that has not answered by then will not."""
TWIN = "twin"


@dataclass(frozen=True)
class Course:
    """What one car made of the script, a row every guardian tick: time [s]; x, y, yaw [m, rad]; velocity
    forward and leftward [m/s], yaw rate [rad/s]; specific force forward and leftward [m/s^2]."""

    name: str
    rows: Floats

    def column(self, k: int, start_s: float = 0.0, end_s: float = math.inf) -> Floats:
        part = (self.rows[:, 0] >= start_s) & (self.rows[:, 0] < end_s)
        found: Floats = self.rows[part, k]
        return found


def drive(spec: RobotSpec, surrogate: Surrogate, seed: int = 0) -> Course:
    """Send one car the script. Raises SandlotError if its controller does not answer."""
    world = hall(26.0, BLOCK)
    twin_rng, rig_rng = np.random.default_rng(seed).spawn(2)
    twin = make_twin(spec, world, twin_rng, surrogate)
    clock = SimulatedClock(0)
    ports = Rig(surrogate.own(spec), twin, rig_rng, delays=surrogate.delays).ports(clock)
    device = next(d for d in spec.devices if d.name == spec.actuators[0].device)
    driver, measurements = make_driver(spec, device, ports[device.name]), Measurements(spec)
    period_ns, setpoint = round(1e9 / spec.rates.guardian_hz), np.zeros(2)

    def tick() -> None:
        clock.sleep_until(clock.now_ns() + period_ns)
        driver.poll(clock.now_ns(), measurements)
        driver.command(clock.now_ns(), setpoint)

    driver.open(clock.now_ns())
    while not driver.health.firmware:
        tick()
        if clock.now_ns() > GREETING_S * 1e9:
            raise SandlotError(f"{surrogate.name or TWIN}: {device.name} does not answer its driver")
    rows, begin_ns = [], clock.now_ns()
    for command in SCRIPT:
        if command.until_s > SET_DOWN_S:
            twin.place(BEFORE_BLOCK)
        setpoint[:] = command.speed, command.steering
        while (elapsed_s := (clock.now_ns() - begin_ns) / 1e9) < command.until_s:
            tick()
            rows.append((elapsed_s, *_truth(twin)))
    return Course(surrogate.name or TWIN, np.array(rows))


def _truth(twin: Twin) -> tuple[float, ...]:
    forward, left, _ = twin.specific_force.tolist()
    return (*twin.pose(), *twin.velocity_body(), forward, left)


def figures(course: Course, twin: Course) -> dict[str, float]:
    """What the script is made to show; names end in their unit."""
    at = course.column

    def radius(start_s: float, end_s: float) -> float:
        speed = np.hypot(at(4, start_s, end_s), at(5, start_s, end_s))
        return float(speed.mean() / np.abs(at(6, start_s, end_s)).mean())

    def apart(time_s: float) -> float:
        ours, theirs = (np.array([c.column(k, time_s)[0] for k in (1, 2)]) for c in (course, twin))
        return float(np.hypot(*(ours - theirs)))

    speeding = at(4, 4.0, 6.0)
    rate_hz = 1.0 / float(np.diff(at(0)[:2])[0])
    block = at(4, SET_DOWN_S)
    hit = int(np.argmax(block))
    felt = np.hypot(at(7, SET_DOWN_S), at(8, SET_DOWN_S))[hit:]
    stop_x, stop_y = at(1, 10.0, SET_DOWN_S), at(2, 10.0, SET_DOWN_S)
    return {
        "slow_circle_radius_m": radius(3.0, 4.0),
        "slow_speed_mps": float(np.hypot(at(4, 3.0, 4.0), at(5, 3.0, 4.0)).mean()),
        "to_3_mps_s": float(np.argmax(speeding > 3.0) / rate_hz if (speeding > 3.0).any() else math.nan),
        "bend_radius_m": radius(7.0, 8.0),
        "bend_side_slip_rad": float(np.abs(np.arctan2(at(5, 7.0, 8.0), at(4, 7.0, 8.0))).mean()),
        "limit_lateral_mps2": float(np.abs(at(8, 9.0, 10.0)).mean()),
        "stop_path_m": float(np.hypot(np.diff(stop_x), np.diff(stop_y)).sum()),
        "apart_after_1_s_m": apart(1.0),
        "apart_after_5_s_m": apart(5.0),
        "apart_after_10_s_m": apart(10.0),
        "block_peak_mps2": float(felt.max()),
        "block_rebound_share": float(-block[hit:].min() / block[hit]),
    }


def run(robot: str, names: Sequence[str]) -> tuple[list[Course], list[dict[str, float]]]:
    """The twin and then each surrogate: courses and their figures. Raises SandlotError."""
    spec = load_spec(find("robots", robot))
    stand_ins = [Surrogate(), *(load_surrogate(find("surrogates", name)) for name in names)]
    courses = [drive(spec, stand_in) for stand_in in stand_ins]
    return courses, [figures(course, courses[0]) for course in courses]


def picture(courses: Sequence[Course]) -> bytes:
    """All cars on the same commands: a PNG."""
    inks = (INK, BLUE, ORANGE, GREEN, RED, PURPLE, SOFT)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11.0, 7.0), layout="constrained")
        axes = figure.subplots(2, 2)
        for number, course in enumerate(courses):
            ink, wide = inks[number % len(inks)], 2.2 if number == 0 else 1.2
            style = {"color": ink, "linewidth": wide, "label": course.name}
            axes[0, 0].plot(course.column(1, 0, SET_DOWN_S), course.column(2, 0, SET_DOWN_S), **style)
            time = course.column(0)
            axes[0, 1].plot(time, course.column(4), **style)
            axes[1, 0].plot(time, course.column(6), **style)
            axes[1, 1].plot(time, _smooth(course.column(8)), **style)
        axes[0, 0].set(title="path until the stop", xlabel="x [m]", ylabel="y [m]", aspect="equal")
        axes[0, 0].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
        axes[0, 1].set(title="forward speed", xlabel="time [s]", ylabel="m/s")
        axes[1, 0].set(title="yaw rate", xlabel="time [s]", ylabel="rad/s")
        axes[1, 1].set(title="lateral specific force, mean of 0.1 s", xlabel="time [s]", ylabel="m/s²")
    return png(figure)


def _smooth(values: Floats) -> Floats:
    return np.convolve(values, np.full(10, 0.1), mode="same")
