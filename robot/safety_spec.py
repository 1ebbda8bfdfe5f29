"""What the safety kernel of a robot watches, forbids and does, as its file says it."""

from __future__ import annotations

from typing import Literal

from robot.errors import SpecError
from robot.layout import Struct


class StopBehaviour(Struct):
    """How this robot stops. ``hold_s``: how long a category-2 stop may take to stand still before it becomes
    category 1; ``deadline_s``: how long a category-1 stop may take before torque goes off (category 0).
    ``standstill``: the state element whose magnitude below ``standstill_below`` means standing still.
    ``powerless``: what the drives are given when torque goes off while the robot moves (STOP0, ESTOP), until
    it stands: ``release``, their own command for no torque, with which it rolls or drops; or ``silence``, no
    command at all, so that each drive's own timeout, proved at arming, stops it."""

    kind: Literal["brake", "damp", "hold"]
    hold_s: float
    deadline_s: float
    standstill: str
    standstill_below: float
    powerless: Literal["release", "silence"] = "release"


class Limit(Struct):
    """A monitor of one element: beyond ``lower``/``upper`` for ``debounce_s``, request ``action``.

    ``element`` is named as in ``robot.safety.elements``: a state element, ``sensor.element``, a signal and so
    on; ``unit`` must be the element's own.
    """

    name: str
    element: str
    unit: str
    action: Literal["reduce", "category2", "category1", "category0"]
    reason: str
    lower: float | None = None
    upper: float | None = None
    debounce_s: float = 0.0
    blind: Literal["stop", "ignore"] = "stop"
    """What it means that the element cannot be seen (a stale sensor, a value that is not finite): a reason to
    stop with category 2, or, for a cross-check with an optional sensor, nothing."""


class Signal(Struct):
    """A quantity computed from elements ``of`` the robot, each times its ``scale`` (1 if none are given).

    ``sum``, ``product``, ``norm`` (square root of the sum of squares); ``rate``: the derivative of one
    element, low-passed with ``time_constant_s``; ``excess``: how far the magnitude of the first element lies
    above that of the second (a setpoint), which is let down at ``decay`` [unit/s], as fast as the robot
    can be expected to follow.
    """

    name: str
    kind: Literal["sum", "product", "norm", "rate", "excess"]
    of: tuple[str, ...]
    unit: str
    scale: tuple[float, ...] = ()
    time_constant_s: float = 0.0
    decay: float = 0.0


class Obstacle(Struct):
    """A round keep-out, world frame [m]."""

    x: float
    y: float
    radius: float


class Site(Struct):
    """Where a robot may be: inside the convex ``polygon`` (corners x, y [m], anticlockwise, world frame;
    none: anywhere) and outside the ``obstacles``."""

    polygon: tuple[tuple[float, float], ...] = ()
    obstacles: tuple[Obstacle, ...] = ()


class Fence(Struct):
    """What a robot needs to stay inside a site.

    ``radius`` [m]: from the position to the robot's outermost point. ``deceleration`` [m/s^2] and
    ``reaction_s``: what a stop surely brakes with, and after what delay; ``follow_s``: how much later a drive
    brakes that is only told a lower speed. ``turning_radius`` [m]: the tightest it can turn while braking (0:
    on the spot). ``sigmas``: how many standard deviations of the estimate are
    kept free. ``actuator``: the one that commands the speed along ``heading`` and is held back ``reserve``
    [m] before the fence (none: the fence is only watched). ``position``, ``velocity`` and
    ``heading`` name state fields; ``heading`` is empty if ``velocity`` is in the world frame. The ``site`` is
    usually the course's.
    """

    radius: float
    deceleration: float
    reaction_s: float
    source: str
    site: Site = Site()
    follow_s: float = 0.0
    turning_radius: float = 0.0
    reserve: float = 0.1
    sigmas: float = 2.0
    actuator: str = ""
    position: str = "position_world"
    velocity: str = "velocity_body"
    heading: str = "heading"


class Turn(Struct):
    """What an Ackermann vehicle may ask of its track width: ``lateral_acceleration`` [m/s^2] by kinematics,
    from actuators ``speed`` [m/s] and ``steering`` [rad], the state element ``measured`` [m/s] and the
    calibration value ``wheelbase`` [m]."""

    lateral_acceleration: float
    speed: str
    steering: str
    measured: str
    wheelbase: str
    source: str


class Safety(Struct):
    """The safety kernel's settings: command lifetime, limits, barriers, and the derating of REDUCED.
    ``authority`` in (0, 1]: the share of the actuators' ranges (of the slew, for positions) that may be used
    in any state; a session under a bench override has less than all."""

    command_timeout_s: float
    arming_s: float
    reduced_scale: float
    reduced_dwell_s: float
    overrun_s: float
    limits: tuple[Limit, ...] = ()
    signals: tuple[Signal, ...] = ()
    fence: Fence | None = None
    turn: Turn | None = None
    authority: float = 1.0


def check_safety(robot: str, safety: Safety) -> None:
    """Raise SpecError for limits, signals and barriers that make no sense, whatever their elements are."""

    def need(good: bool, what: str) -> None:
        if not good:
            raise SpecError(f"{robot}: {what}")

    need(0.0 < safety.reduced_scale <= 1.0, f"safety.reduced_scale {safety.reduced_scale} must lie in (0, 1]")
    need(0.0 < safety.authority <= 1.0, f"safety.authority {safety.authority} must lie in (0, 1]")
    for limit in safety.limits:
        need(
            limit.lower is not None or limit.upper is not None,
            f"limit {limit.name!r} needs lower, upper or both",
        )
        need(
            limit.element != "command.novelty" or limit.action == "reduce",
            f"limit {limit.name!r}: a novelty score is advisory; its action must be reduce",
        )
    for signal in safety.signals:
        where = f"signal {signal.name!r}"
        count = {"rate": 1, "excess": 2}.get(signal.kind, max(1, len(signal.of)))
        need(len(signal.of) == count, f"{where}: {signal.kind} takes {count} elements, got {len(signal.of)}")
        need(
            not signal.scale or len(signal.scale) == len(signal.of),
            f"{where}: {len(signal.of)} elements but {len(signal.scale)} scales",
        )
        need(
            (signal.kind == "rate") == (signal.time_constant_s > 0.0),
            f"{where}: a rate, and only a rate, needs time_constant_s > 0",
        )
        need(
            (signal.kind == "excess") == (signal.decay > 0.0),
            f"{where}: an excess, and only an excess, needs decay > 0",
        )
    if safety.fence is not None:
        fence = safety.fence
        for name in ("radius", "reaction_s", "follow_s", "turning_radius", "reserve", "sigmas"):
            need(getattr(fence, name) >= 0.0, f"safety.fence needs {name} >= 0")
        need(fence.deceleration > 0.0, "safety.fence needs deceleration > 0")
        need(all(o.radius > 0.0 for o in fence.site.obstacles), "a site's obstacles need radius > 0")
    if safety.turn is not None:
        need(safety.turn.lateral_acceleration > 0.0, "safety.turn needs lateral_acceleration > 0")
