"""Torque per ampere, rolling resistance and brakes of a car, from straight passes between rests.

Along a pass the wheels' speed v changes by what the motor's current I and the floor make of it:

    m' dv = K G eta / r I dt - c m g sign(v) dt - s m g dt

with torque constant K, gears G and their efficiency eta, radius r, mass m and, in m', what turns with the
wheels. It is regressed in increments over 0.1 s, so that nothing is differentiated: accelerating and braking
tell the first factor, driving steadily the rolling resistance c, passes both ways the slope s of the floor.
The tyres' slip, by which wheels run ahead of the car in proportion to the current, is estimated along. How
certain all that is follows from leaving out one pass after another, whatever errors within a pass have in
common (Efron and Tibshirani, "An Introduction to the Bootstrap", 11.5).

The guardian lets no command coast: a speed of zero brakes. Driving steadily tells the same as coasting down.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.drive import Drive
from calibration.drivetrain import (
    inertia_of,
    metres_per_radian,
    rolling_resistance,
    torque_constant_and_efficiency,
    torque_per_ampere,
)
from calibration.entry import Check, Finding, Quantity
from calibration.manoeuvre import Leg, stand
from calibration.motor_passes import WINDOW, Pass, passes_of, regression, reverse_over_forward
from calibration.procedure import Array, CalibrationError, Estimate, Panel, Series
from robot.spec import RobotSpec
from sim.car import GRAVITY

PASSES = ((2.4, -0.7), (0.8, -0.7), (1.6, -0.7))
"""Speeds out and back [m/s]: within what REDUCED leaves of the racer's range."""
ROUNDS = 2
METRES_OUT, METRES_BACK = 4.0, 4.5
"""Driven until it brakes; from higher speeds that takes longer."""
REST_S = 1.5
"""Between passes, braking not counted [s]."""
FEWEST = 3
"""Passes each way without which nothing is said."""
FAST = 1.2
"""One of them was so fast at least [m/s]: a slower one accelerates too shortly."""
MOST_TORQUE_ERROR, MOST_ROLLING_ERROR, MOST_APART = 0.03, 0.003, 0.05
"""Accepted, 95 %: of the acceleration per ampere [1]; of the rolling resistance [1], a fifth of what a tyre
has on concrete; between the directions [1]."""
MOST_CURRENT = 1.1
"""Of the drive's limit [1]: noise and overshoot explain it; beyond, the limit is not set as the file says."""
REACHED = 0.9
"""Of the limit [1]: a current from which on it counts as reached."""


class MotorProcedure:
    """Implements ``calibration.procedure.Procedure``."""

    name = "motor"
    about = (
        "The car drives straight passes of 4 m, forward and in reverse, brakes from 2.4 m/s, and stands "
        "between them. It needs 8 m x 2 m of floor ahead. Measure mass and speed first: a force follows "
        "from them."
    )
    valid_days = 60

    def legs(self, spec: RobotSpec) -> tuple[Leg, ...]:
        found = [stand(REST_S)]
        for _ in range(ROUNDS):
            for out, back in PASSES:
                for speed, metres in ((out, METRES_OUT), (back, METRES_BACK)):
                    way = "forward" if speed > 0 else "in reverse"
                    longest = 2.0 * metres / abs(speed) + 2.0
                    found += [Leg(f"{abs(speed):g} m/s {way}", longest, speed, metres=metres)]
                    found += [stand(REST_S, speed)]
        return tuple(found)

    def estimate(self, drives: Sequence[Drive]) -> Estimate:
        spec = drives[0].spec
        passes = [found for drive in drives for found in passes_of(drive)]
        fastest = max((float(np.abs(p.speed).max()) for p in passes), default=0.0)
        ahead = sum(p.way > 0.0 for p in passes)
        if min(ahead, len(passes) - ahead) < FEWEST or fastest < FAST:
            raise CalibrationError(
                f"{ahead} straight passes from rest to rest forward and {len(passes) - ahead} in reverse, "
                f"the fastest at {fastest:.1f} m/s, were found in the log; at least {FEWEST} each way, one "
                f"of them at {FAST:g} m/s, were expected; was the car stopped on the way?"
            )
        found, covariance = regression(passes)
        pull, rolling_brakes, *_ = found.tolist()
        pull_sigma, rolling_brakes_sigma, *_ = np.sqrt(np.diag(covariance)).tolist()
        if pull <= 0.0 or rolling_brakes <= 0.0:
            raise CalibrationError(
                f"an ampere accelerates by {pull:.3g} m/s^2 and rolling brakes by {rolling_brakes:.3g} "
                "m/s^2, which must both be positive: is the sign of the current or of the speed turned "
                "round, or was the car pushed?"
            )
        product, product_sigma = torque_per_ampere(spec, pull, pull_sigma)
        rolling, rolling_sigma = rolling_resistance(spec, rolling_brakes, rolling_brakes_sigma)
        both, both_covariance = torque_constant_and_efficiency(spec, product, product_sigma)
        every = np.zeros((3, 3))
        every[0, 0], every[1:, 1:] = rolling_sigma**2, both_covariance
        ratio, ratio_sigma = reverse_over_forward(passes)
        limit, largest = spec.scalar("motor_current_limit"), max(p.held_current() for p in passes)
        brakes = [b for p in passes if (b := p.braking()) is not None]
        apart = max(abs(ratio - 1.0) - 2.0 * ratio_sigma, 0.0)
        checks = [
            Check("acceleration per ampere, 95 %, of it", "1", 1.96 * pull_sigma / pull, MOST_TORQUE_ERROR),
            Check("rolling resistance, 95 %", "1", 1.96 * rolling_sigma, MOST_ROLLING_ERROR),
            Check("forward and reverse apart, beyond two standard deviations", "1", apart, MOST_APART),
            Check("largest current held, of the drive's limit", "1", largest / limit, MOST_CURRENT),
        ]
        fence = spec.safety.fence
        if brakes and fence is not None:
            rule = "weakest braking, against what the fence assumes"
            checks.append(Check(rule, "m/s^2", min(brakes), fence.deceleration, least=True))
        reached = "reached" if largest > REACHED * limit else "not reached"
        return Estimate(
            method=f"{len(passes)} straight passes up to {fastest:.1f} m/s, speed regressed on current",
            quantities=(Quantity("rolling_resistance", "1", rolling), *both),
            covariance=every,
            checks=tuple(checks),
            findings=(
                Finding("torque_constant_times_efficiency", "N m/A", product, product_sigma),
                *_findings(spec, found, covariance),
                Finding("reverse_over_forward", "1", ratio, ratio_sigma),
                Finding("largest_current_held", "A", largest),
                *(Finding("braking_deceleration", "m/s^2", b) for b in brakes),
            ),
            panels=_panels(passes, found),
            lines=(
                f"the current limit of {limit:g} A was {reached}: {largest:.1f} A were held",
                f"rolling takes {rolling_brakes:.3f} m/s², {rolling_brakes / pull:.2f} A of steady driving",
            ),
            frozen=_frozen(spec, fastest, largest, bool(brakes)),
        )


def _findings(spec: RobotSpec, found: Array, covariance: Array) -> tuple[Finding, ...]:
    """What the regression tells beside the drivetrain."""
    pull, _, slope, slip = found.tolist()
    sigmas = np.sqrt(np.diag(covariance)).tolist()
    inertia = inertia_of(spec)
    weight = GRAVITY * inertia.mass / inertia.total
    return (
        Finding("acceleration_per_ampere", "m/s^2/A", pull, sigmas[0]),
        Finding("floor_slope", "1", slope / weight, sigmas[2] / weight),
        Finding("slip_time", "s", slip / pull, sigmas[3] / pull),
    )


def _frozen(spec: RobotSpec, fastest: float, largest: float, braked: bool) -> tuple[str, ...]:
    """What such passes do not show."""
    limit = spec.scalar("motor_current_limit")
    back_emf = spec.scalar("motor_torque_constant") * fastest / metres_per_radian(spec)
    found = [
        "motor_torque_constant and drivetrain_efficiency: told by their product alone",
        f"motor_resistance, battery_resistance, battery_voltage: at {fastest:.1f} m/s the back-EMF is "
        f"{back_emf:.1f} V, and they do not hold the motor back",
    ]
    if largest <= REACHED * limit:
        found.append(f"motor_current_limit: {largest:.0f} A of {limit:g} A were the most that flowed")
    if not braked:
        found.append("the brakes: no pass was fast enough")
    return tuple(found)


def _panels(passes: Sequence[Pass], found: Array) -> tuple[Panel, Panel]:
    """Accelerations by current, and what is left of them by speed."""
    parts = [p.increments() for p in passes]
    design, change = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    seconds = -design[:, 2]
    speeds = np.concatenate([p.speed[WINDOW::WINDOW] for p in passes])
    current, without = design[:, 0] / seconds, change - design[:, 1:] @ found[1:]
    reach = np.array([current.min(), current.max()])
    return (
        Panel(
            "acceleration by current",
            "motor current [A]",
            "without rolling, slope and slip [m/s²]",
            (
                Series("0.1 s each", current, without / seconds),
                Series(f"{found[0]:.4f} m/s² per A", reach, reach * found[0], "line"),
            ),
        ),
        Panel(
            "what is left",
            "speed [m/s]",
            "error of the acceleration [m/s²]",
            (Series("0.1 s each", speeds, (change - design @ found) / seconds),),
            left=True,
        ),
    )
