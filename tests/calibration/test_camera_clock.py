"""How late a camera's pictures are comes out of how they move, whatever looks where."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from measured_drive import straight_drive
from scipy.integrate import cumulative_trapezoid

from calibration.camera_clock import Turning, lateness_of_turns
from calibration.clock import WAIT_S, ClockProcedure, drifting
from calibration.drive import ImageMotion, Samples
from calibration.image_motion import image_motion
from calibration.procedure import Estimate
from robot.camera_spec import Camera
from robot.clock import SimulatedClock
from robot.drivers.camera import encode
from robot.image_message import Frame
from robot.shared_memory import Mailbox
from robot.spec import load_spec
from sim.emulators.camera import FOCAL, SyntheticCamera
from sim.emulators.truth import TRUTH, TRUTH_DTYPE

FRONT = Camera("front", "robot.drivers.camera:OpenCvCamera", 240, 180, 15.0)
GYROSCOPE_HZ = 100.0
NOISE = 0.004
"""Of the gyroscope [rad/s]."""
Profile = Callable[[np.ndarray], np.ndarray]


def turns(time_s: np.ndarray, count: int = 12, every_s: float = 3.0) -> np.ndarray:
    """Yaw rate [rad/s] of turns to and fro, each begun and ended within a third of a second."""
    within = time_s % every_s
    ramp = np.clip(np.minimum(within - 0.5, 1.7 - within) / 0.3, 0.0, 1.0)
    side = np.where(np.floor(time_s / every_s) % 2 == 0, 1.0, -1.0)
    return np.where(time_s < count * every_s, 0.8 * side * ramp, 0.0)


class TurningWorld(SimulatedClock):
    """Whoever waits finds, when that is over, what the bench then says of a robot that turns."""

    def __init__(self, folder: Path, profile: Profile) -> None:
        super().__init__(0)
        self._truth, self._record = (
            Mailbox(folder / TRUTH, TRUTH_DTYPE, create=True),
            np.zeros(1, TRUTH_DTYPE),
        )
        self._times = np.arange(0.0, 100.0, 0.001)
        self._rates = profile(self._times)
        self._headings = cumulative_trapezoid(self._rates, dx=0.001, initial=0.0)

    def sleep_until(self, time_ns: int) -> None:
        super().sleep_until(time_ns)
        told_s = np.floor(self.now_ns() * 1e-7) * 0.01  # the truth is told every 10 ms
        self._record["time_ns"] = round(told_s * 1e9)
        self._record["heading"] = np.interp(told_s, self._times, self._headings)
        self._record["angular_velocity"][0, 2] = np.interp(told_s, self._times, self._rates)
        self._truth.write(self._record)

    def gyroscope(self, rng: np.random.Generator) -> Samples:
        """With noise, and a bias."""
        time_s = np.arange(0.0, 45.0, 1.0 / GYROSCOPE_HZ)
        rates = NOISE * rng.standard_normal((len(time_s), 3)) + np.array([0.01, -0.02, 0.015])
        rates[:, 2] += np.interp(time_s, self._times, self._rates)
        return Samples(time_s, rates)


def film(camera: Camera, world: TurningWorld, seconds: float) -> Iterator[Frame]:
    """What a feeder makes of it, encoded, and here 12 ms after its stamp."""
    capture = SyntheticCamera(camera, world)
    capture.open()
    for number in range(round(seconds * camera.rate_hz)):
        shot = capture.read()
        assert shot is not None
        if number % 50 == 20:
            continue  # one that never came
        yield Frame(
            camera.name,
            number,
            shot.captured_ns,
            shot.captured_ns + 12_000_000,
            "jpeg",
            encode(shot.picture, camera.quality),
        )


@pytest.mark.parametrize("late_ms", [0.0, 21.0])
def test_what_a_camera_is_late_by_is_found_in_its_pictures(tmp_path: Path, late_ms: float) -> None:
    world = TurningWorld(tmp_path, turns)
    camera = msgspec.structs.replace(FRONT, port=str(tmp_path), options={"late_ms": late_ms})
    rates = world.gyroscope(np.random.default_rng(0))
    motion = image_motion(film(camera, world, 40.0), 0, Turning(rates))
    found = lateness_of_turns(rates, motion)
    (late, drift), (sigma, drift_sigma) = drifting(found.when, found.late, found.weight)
    assert len(found.when) == 12 and found.explained > 0.98
    assert sigma < 0.001 and abs(late - 1e-3 * late_ms) < 4 * sigma
    assert abs(drift) < 4 * drift_sigma
    assert motion.missing == 12 and motion.delivered_s == pytest.approx(0.012)
    assert len(motion.shift) < 0.8 * 40 * camera.rate_hz, "pictures of what does not turn are not looked at"
    # In the middle of the picture a turn to the left moves what is seen to the right, by the focal length.
    turned = np.interp(motion.after_s, *integral(rates)) - np.interp(motion.before_s, *integral(rates))
    assert np.polyfit(turned, motion.shift[:, 0], 1)[0] == pytest.approx(FOCAL * camera.width, rel=0.12)


def integral(rates: Samples) -> tuple[np.ndarray, np.ndarray]:
    return rates.time_s, np.cumsum(rates.values[:, 2]) / GYROSCOPE_HZ


def moved(
    late_s: float, drift: float, noise: float, rng: np.random.Generator, axes: np.ndarray
) -> tuple[Samples, ImageMotion]:
    """Turns about three axes, and pictures that move by ``axes``, (2, 3) [pixels/rad], later by ``drift``
    [s/s]."""
    time_s = np.arange(0.0, 100.0, 0.001)
    rates = np.stack([turns(time_s + 1.0 * k, 40) * (1.0 + 0.3 * k) for k in range(3)], axis=-1)
    angles = cumulative_trapezoid(rates, dx=0.001, axis=0, initial=0.0)
    taken = np.arange(1.0, 90.0, 1.0 / 30.0)
    stamps = taken + late_s + drift * taken
    seen = np.stack([np.interp(taken, time_s, column) for column in angles.T], axis=-1)
    shift = np.diff(seen, axis=0) @ axes.T + noise * rng.standard_normal((len(taken) - 1, 2))
    gyroscope = Samples(time_s[::10], rates[::10] + NOISE * rng.standard_normal((len(time_s[::10]), 3)))
    nothing = np.zeros(0)
    return gyroscope, ImageMotion(stamps[:-1], stamps[1:], shift, nothing, 0)


def test_intervals_hold_of_a_camera_that_looks_anywhere() -> None:
    off = []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        late, drift = float(rng.uniform(-0.02, 0.12)), float(rng.normal(0.0, 1e-4))
        gyroscope, motion = moved(late, drift, 0.5, rng, rng.uniform(-500, 500, (2, 3)))
        # Turns about three axes run into each other; told apart they are by being cut at their middles.
        found = lateness_of_turns(gyroscope, cut(motion))
        (told, drifts), (sigma, drift_sigma) = drifting(found.when, found.late, found.weight)
        middle = 60.0 * float(np.average(found.when, weights=found.weight))
        off += [(told - late - drift * middle) / sigma, (drifts - 60.0 * drift) / drift_sigma]
    assert np.mean(np.abs(off) < 1.96) > 0.88 and 0.7 < np.sqrt(np.mean(np.square(off))) < 1.4


def cut(motion: ImageMotion) -> ImageMotion:
    kept = (motion.before_s % 6.0) < 4.5
    return replace(
        motion, before_s=motion.before_s[kept], after_s=motion.after_s[kept], shift=motion.shift[kept]
    )


def test_somebody_who_walks_past_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    gyroscope, motion = moved(0.04, 0.0, 0.2, rng, np.array([[0.0, 20.0, 320.0], [10.0, 300.0, 0.0]]))
    walks = (motion.before_s > 20.0) & (motion.before_s < 24.0)
    found = lateness_of_turns(gyroscope, cut(replace(motion, shift=motion.shift + 40.0 * walks[:, None])))
    (late, _), (sigma, _) = drifting(found.when, found.late, found.weight)
    assert abs(late - 0.04) < 4 * sigma and sigma < 0.001


def test_pictures_of_nothing_tell_nothing() -> None:
    rng = np.random.default_rng(2)
    gyroscope, motion = moved(0.04, 0.0, 0.2, rng, np.zeros((2, 3)))
    found = lateness_of_turns(gyroscope, cut(motion))
    assert not found.explained > 0.1
    frozen = lateness_of_turns(gyroscope, cut(replace(motion, shift=0.0 * motion.shift)))
    assert len(frozen.when) == 0 and frozen.explained == 0.0
    few = replace(motion, before_s=motion.before_s[:5], after_s=motion.after_s[:5], shift=motion.shift[:5])
    assert len(lateness_of_turns(gyroscope, few).when) == 0


def seen_by_the_clock(drift: float, pictures: bool = True) -> Estimate:
    """Of a drive as the clock's procedure has it, with a camera whose pictures are 20 ms late in its middle,
    of which its file tells 5."""
    rng = np.random.default_rng(3)
    spec = load_spec(Path(__file__).parents[2] / "launch/robots/racer.toml")
    spec = msgspec.structs.replace(spec, cameras=(msgspec.structs.replace(FRONT, latency_s=0.005),))
    half = [(1.8, 1.6), (-0.7, 1.6)] * 6
    made = straight_drive(spec, 4614.0, [*half, (0.0, WAIT_S), *half], rng, rest_s=1.6)
    made = replace(made, sent=np.roll(made.sent, -3, axis=0))
    time_s = made.time_s
    # Turns at both ends, and none while it stands in the middle.
    ends = (time_s < 60.0) | (time_s > time_s[-1] - 60.0)
    rates = NOISE * rng.standard_normal((len(time_s), 3))
    rates[:, 2] += turns(time_s, 1000) * ends
    layout = next(s.layout for s in spec.sensors if s.name == "imu")
    values = np.zeros((len(time_s), layout.size))
    values[:, [layout.index(f"angular_velocity_{axis}") for axis in "xyz"]] = rates
    fine = np.arange(0.0, time_s[-1], 0.001)
    near = (fine < 60.0) | (fine > time_s[-1] - 60.0)
    angle = cumulative_trapezoid(turns(fine, 1000) * near, dx=0.001, initial=0.0)
    taken = np.arange(1.0, time_s[-1] - 1.0, 1.0 / 15.0)
    taken = taken[((taken < 60.0) | (taken > time_s[-1] - 60.0)) & (taken % 3.0 < 1.9)]
    stamps = taken + 0.015 + drift * (taken - taken.mean())
    shift = 500.0 * np.diff(np.interp(taken, fine, angle))[:, None] * [1.0, 0.1]
    shift += 0.3 * rng.standard_normal(shift.shape)
    following = np.diff(taken) < 0.1
    motion = ImageMotion(stamps[:-1][following], stamps[1:][following], shift[following], np.full(9, 0.03), 2)
    nothing = ImageMotion(np.zeros(0), np.zeros(0), np.zeros((0, 2)), np.zeros(0), 0)
    sensors = {**made.sensors, "imu": Samples(time_s, values)}
    return ClockProcedure().estimate(
        [replace(made, sensors=sensors, pictures={"front": motion if pictures else nothing})]
    )


def test_the_clock_tells_of_every_camera_and_adds_what_its_file_knows() -> None:
    found = seen_by_the_clock(0.0)
    told = {f.name: (f.value, f.sigma) for f in found.findings}
    late, sigma = told["camera_front_latency"]
    assert sigma < 0.001 and abs(late - 0.02) < 3 * sigma
    assert (
        told["camera_front_delivered_p50"][0] == pytest.approx(0.03) and told["camera_front_missing"][0] == 2
    )
    assert all(check.passed for check in found.checks if "camera_front" in check.rule)


def test_a_camera_whose_clock_drifts_or_that_saw_nothing_is_not_accepted() -> None:
    failed = [check.rule for check in seen_by_the_clock(0.002 / 60.0).checks if not check.passed]
    assert "drift of camera_front's clock, and 95 % of its error" in failed
    blind = seen_by_the_clock(0.0, pictures=False)
    assert "turns that camera_front saw" in [check.rule for check in blind.checks if not check.passed]
    assert any("is not known" in line for line in blind.lines)
