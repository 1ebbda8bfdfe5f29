"""ERPM per m/s, forward and in reverse: straight passes from standstill to standstill past a known distance.

The distance is the one between two averages of the satellite position at rest, so that latency, the
estimator and slip under acceleration (which braking takes back) do not matter. The revolutions are the
integral of the electrical speed, each increment counted along the chord. Least squares through the origin.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration.confidence import student_over_normal
from calibration.drive import Drive
from calibration.entry import Check, Finding, Quantity
from calibration.fixes import fixes_of
from calibration.manoeuvre import Leg, stand
from calibration.procedure import CalibrationError, Estimate, Panel, Series
from calibration.straight import straight_passes
from robot.spec import RobotSpec

PASSES = ((0.8, -0.6), (1.4, -0.7), (2.2, -0.5))
"""Speeds out and back [m/s]: three each way, within what REDUCED leaves of the racer's range."""
ROUNDS = 2
METRES = 4.0
"""Of a pass's driven part; braking adds to it."""
LEAST_METRES, FEWEST_SPEEDS = 3.0, 3
"""Of a pass that counts; and different speeds each way (reference, Speed)."""
HELD, OTHER_SPEED = 0.8, 1.08
"""Share of a pass that is no faster than the speed which it held [1]; one so many times as high [1] is
another: passes at one speed differ by less."""
REST_S = 2.5
"""Between passes, braking not counted [s]: the suspension, and fifteen position fixes."""
FEWEST = 3
"""Passes in each direction without which nothing is said."""
MOST_ERROR = 0.01
"""Accepted: of a distance [1] (reference, Speed: +-1 %)."""
LEAST_R2 = 0.999


@dataclass(frozen=True)
class Pass:
    """From rest to rest: signed distance [m] and its standard deviation, signed electrical revolutions [1]
    along the chord, the speed [m/s] that it held, as the calibration of then has it."""

    distance: float
    sigma: float
    turns: float
    speed: float


class SpeedProcedure:
    """Implements ``calibration.procedure.Procedure``."""

    name = "speed"
    about = (
        "The car drives straight passes of 4 m, forward and in reverse, at three speeds each, and stands "
        "between them. It needs 7 m x 2 m of level floor ahead, and an RTK fix or another position."
    )
    valid_days = 30

    def legs(self, spec: RobotSpec) -> tuple[Leg, ...]:
        found = [stand(REST_S)]
        for _ in range(ROUNDS):
            for out, back in PASSES:
                for speed in (out, back):
                    way = "forward" if speed > 0 else "in reverse"
                    longest = 2.0 * METRES / abs(speed) + 2.0
                    found += [Leg(f"{abs(speed):g} m/s {way}", longest, speed, metres=METRES)]
                    found += [stand(REST_S, speed)]
        return tuple(found)

    def estimate(self, drives: Sequence[Drive]) -> Estimate:
        passes = [found for drive in drives for found in passes_of(drive)]
        spec = drives[0].spec
        ways = {
            "forward": [p for p in passes if p.distance > 0],
            "reverse": [p for p in passes if p.distance < 0],
        }
        for way, some in ways.items():
            if len(some) < FEWEST:
                raise CalibrationError(
                    f"{len(some)} straight passes from rest to rest {way} were found in the log, at least "
                    f"{FEWEST} of {LEAST_METRES:g} m were expected; was the car stopped on the way, or is "
                    "there no position fix?"
                )
            driven = sorted(abs(p.speed) for p in some)
            different = 1 + sum(b > OTHER_SPEED * a for a, b in itertools.pairwise(driven))
            if different < FEWEST_SPEEDS:
                raise CalibrationError(
                    f"the passes {way} are at {different} different speeds ({driven[0]:.2f} to "
                    f"{driven[-1]:.2f} m/s); {FEWEST_SPEEDS} were expected: an error that grows with the "
                    "speed shows at several only"
                )
        gain, sigma, r2 = slope(passes)
        fits = {way: slope(some) for way, some in ways.items()}
        errors = np.array([p.turns / gain * 60.0 - p.distance for p in passes])
        distances, turns = (np.array([getattr(p, name) for p in passes]) for name in ("distance", "turns"))
        lengths = np.abs(distances)
        reach = np.array([-lengths.max(), lengths.max()])
        worst = float((np.abs(errors) / lengths).max())
        # The wheels' radius follows, as the gears' teeth can be counted.
        per_turn = spec.scalar("motor_pole_pairs") * spec.scalar("gear_ratio") * 60.0 / (2.0 * math.pi)
        radius = per_turn / gain
        both = np.array([sigma, -radius / gain * sigma])
        forward, reverse = fits["forward"], fits["reverse"]
        apart = abs(forward[0] - reverse[0]) / gain
        apart_sigma = math.hypot(forward[1], reverse[1]) / gain
        speeds = np.array([p.speed for p in passes])
        return Estimate(
            method=f"{len(passes)} straight passes between position averages at rest",
            quantities=(
                Quantity("erpm_per_speed", "s/(m min)", gain),
                Quantity("wheel_radius", "m", radius),
            ),
            covariance=np.outer(both, both),
            checks=(
                Check("error of the worst pass, of its length", "1", worst, MOST_ERROR),
                Check("R2 of revolutions against distance", "1", r2, LEAST_R2, least=True),
                Check(
                    "forward and reverse apart, beyond two standard deviations",
                    "1",
                    max(apart - 2.0 * apart_sigma, 0.0),
                    MOST_ERROR,
                ),
            ),
            findings=(
                Finding("erpm_per_speed_forward", "s/(m min)", forward[0], forward[1]),
                Finding("erpm_per_speed_reverse", "s/(m min)", reverse[0], reverse[1]),
            ),
            panels=(
                Panel(
                    "revolutions against distance",
                    "distance [m]",
                    "electrical revolutions",
                    (
                        Series("passes", distances, turns),
                        Series(f"{gain:.0f} ERPM per m/s", reach, reach * gain / 60.0, "line"),
                    ),
                ),
                Panel(
                    "what is left",
                    "speed [m/s]",
                    "error of the distance [mm]",
                    (Series("passes", speeds, 1e3 * errors),),
                    left=True,
                ),
            ),
            lines=tuple(
                f"{p.distance:+.3f} m at {p.speed:+.2f} m/s: {1e3 * e:+.1f} mm"
                for p, e in zip(passes, errors.tolist(), strict=True)
            ),
        )


def slope(passes: Sequence[Pass]) -> tuple[float, float, float]:
    """ERPM per m/s, the standard deviation that makes a normal interval as wide as Student's, and R2. Weights
    are the distances' own variances; their scale is what the residuals say, or what was stated if that is
    more."""
    d = np.array([p.distance for p in passes])
    turns = 60.0 * np.array([p.turns for p in passes])
    weights = 1.0 / np.square([p.sigma for p in passes])
    information = float((weights * d * d).sum())
    gain = float((weights * d * turns).sum() / information)
    # The error is the distance's, as seen through the gain.
    left = (turns - gain * d) / gain
    freedom = len(passes) - 1
    scale = max(float((weights * left * left).sum()) / freedom, 1.0)
    sigma = gain * math.sqrt(scale / information) * student_over_normal(freedom)
    r2 = 1.0 - float((left**2).sum() / (d**2).sum())
    return gain, sigma, r2


def passes_of(drive: Drive) -> list[Pass]:
    """Every straight stretch of a drive from rest to rest that is long enough. Raises SignalError."""
    spec, found = drive.spec, []
    for one in straight_passes(drive, fixes_of(drive)):
        if one.distance < LEAST_METRES:
            continue
        way = math.copysign(1.0, one.turns[-1])
        # Fixes share an error that wanders: what is left of it after the pass, and white noise.
        lasted = float(one.time_s[-1] - one.time_s[0])
        wandered = 1.0 - math.exp(-(lasted + REST_S) / spec.scalar("gnss_noise_time"))
        slow = 2.0 * spec.scalar("gnss_noise") ** 2 * wandered
        white = spec.scalar("gnss_white_noise") ** 2 * sum(1.0 / count for count in one.fixes)
        speed = float(np.quantile(np.abs(one.erpm), HELD)) / spec.scalar("erpm_per_speed")
        sigma = math.sqrt(slow + white)
        found.append(Pass(way * one.distance, sigma, float(one.turns[-1]), way * speed))
    return found
