"""One recorded demonstration lap to a course: find the lap, smooth it, set checkpoints where they matter."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from robot.errors import SpecError
from robot.practice.course import Array, Checkpoint, Course, CourseFile
from robot.safety_spec import Site
from robot.spec import OptionValue

LAP_TASK = "robot.practice.lap_task:LapTask"
SHORTEST_LAP = 4.0
"""A lap shorter than this [m] is a turn on the spot for a car."""

RESAMPLED = 0.05
"""Spacing [m] at which the recorded path is smoothed."""


def course_from_trajectory(
    trajectory: Array,
    name: str,
    *,
    source: str = "",
    closing_metres: float = 1.0,
    smoothing_metres: float = 0.15,
    straight_spacing: float = 1.5,
    bend_spacing: float = 0.35,
    shortest_spacing: float = 0.3,
    task: str = LAP_TASK,
    options: dict[str, OptionValue] | None = None,
    site: Site | None = None,
) -> Course:
    """Positions [m], shape (n, 2), recorded in order over at least one lap, to a course.

    The lap ends where the car comes back to where it started moving, in the same direction, within
    ``closing_metres``; what was recorded after that is not used. Checkpoints lie ``straight_spacing`` [m]
    apart on straights and ``bend_spacing`` [rad] of turning apart in bends. Raises SpecError if the lap does
    not close, saying how far it came.
    """
    path = _moving(np.asarray(trajectory, np.float64), name)
    z = _close(path, name, closing_metres)
    z = _smooth(z, smoothing_metres)
    step = np.abs(np.roll(z, -1) - z)
    turning = np.angle((np.roll(z, -1) - z) / (z - np.roll(z, 1)))
    curvature = _smooth_values(np.abs(turning) / step, step.mean(), smoothing_metres)
    spacing = np.clip(bend_spacing / np.maximum(curvature, 1e-6), shortest_spacing, straight_spacing)
    density = np.concatenate(([0.0], np.cumsum(step / spacing)))
    count = max(6, math.ceil(density[-1]))
    at = np.interp(np.arange(count) * density[-1] / count, density, np.arange(len(z) + 1))
    closed = np.append(z, z[0])
    points = np.interp(at, np.arange(len(closed)), closed.real) + 1j * np.interp(
        at, np.arange(len(closed)), closed.imag
    )
    file = CourseFile(
        name=name,
        task=task,
        checkpoints=tuple(Checkpoint(x=round(float(p.real), 4), y=round(float(p.imag), 4)) for p in points),
        start_heading=round(float(np.angle(z[1] - z[-1])), 4) + 0.0,
        source=source,
        options=options or {},
        site=site or Site(),
    )
    return Course(file)


def _moving(trajectory: Array, name: str) -> NDArray[np.complex128]:
    """The path without rows that are not finite or stand still (2 cm), as x + iy."""
    if trajectory.ndim != 2 or trajectory.shape[1] != 2:
        raise SpecError(f"course {name}: a trajectory of shape (n, 2) was expected, not {trajectory.shape}")
    rows = trajectory[np.isfinite(trajectory).all(axis=1)]
    kept: list[complex] = []
    for x, y in rows.tolist():
        if not kept or abs(complex(x, y) - kept[-1]) >= 0.02:
            kept.append(complex(x, y))
    path = np.array(kept, np.complex128)
    length = float(np.abs(np.diff(path)).sum())
    if len(path) < 20 or length < SHORTEST_LAP:
        raise SpecError(
            f"course {name}: the recording moves {length:.1f} m in {len(path)} distinct points; "
            f"a lap of at least {SHORTEST_LAP} m is needed. Drive one whole lap."
        )
    return path


def _close(path: NDArray[np.complex128], name: str, closing_metres: float) -> NDArray[np.complex128]:
    """One lap at equal spacing, its seam's offset spread over the whole lap so that nothing kinks."""
    arc = np.concatenate(([0.0], np.cumsum(np.abs(np.diff(path)))))
    ahead = np.interp(0.3, arc, path.real) + 1j * np.interp(0.3, arc, path.imag)
    direction = (ahead - path[0]) / abs(ahead - path[0])
    heading = np.gradient(path)
    same_way = (heading * np.conj(direction)).real > 0.5 * np.abs(heading)
    distance = np.abs(path - path[0])
    left = int(np.argmax(distance > 2.0 * closing_metres))
    away = (arc > max(SHORTEST_LAP, arc[left])) & (left > 0)
    back = np.flatnonzero(away & same_way & (distance < closing_metres))
    if len(back) == 0:
        candidates = np.flatnonzero(away)
        near = int(candidates[np.argmin(distance[candidates])]) if len(candidates) else len(path) - 1
        raise SpecError(
            f"course {name}: the lap does not close: {arc[-1]:.1f} m were driven and the nearest return to "
            f"the start ({path[0].real:.2f}, {path[0].imag:.2f}) was "
            f"({path[near].real:.2f}, {path[near].imag:.2f}), {distance[near]:.2f} m away after "
            f"{arc[near]:.1f} m; it must come within {closing_metres} m, driving the same way. "
            "Drive on until the car has passed its starting point."
        )
    first_pass = back[: int(np.argmax(np.diff(back, append=back[-1] + 9) > 1)) + 1]
    end = int(first_pass[np.argmin(distance[first_pass])])
    arc, lap = arc[: end + 1], path[: end + 1]
    gap = path[0] - lap[-1]
    # Stopping short along the track leaves a piece to bridge; stopping beside the start leaves an offset.
    short = max(0.0, float((gap * np.conj(direction)).real))
    if short > RESAMPLED:
        lap, arc = np.append(lap, path[0]), np.append(arc, arc[-1] + abs(gap))
    else:
        lap = lap + gap * arc / arc[-1]
    count = max(20, round(float(arc[-1]) / RESAMPLED))
    at = np.arange(count) * arc[-1] / count
    return np.asarray(np.interp(at, arc, lap.real) + 1j * np.interp(at, arc, lap.imag), np.complex128)


def _smooth(z: NDArray[np.complex128], sigma: float) -> NDArray[np.complex128]:
    """Periodic Gaussian smoothing with standard deviation ``sigma`` [m]; shrinks a bend of radius R by
    sigma^2 / 2R."""
    spacing = float(np.abs(np.roll(z, -1) - z).mean())
    frequency = np.fft.fftfreq(len(z), spacing)
    return np.asarray(np.fft.ifft(np.fft.fft(z) * np.exp(-2.0 * (math.pi * frequency * sigma) ** 2)))


def _smooth_values(values: Array, spacing: float, sigma: float) -> Array:
    frequency = np.fft.fftfreq(len(values), spacing)
    return np.asarray(
        np.fft.ifft(np.fft.fft(values) * np.exp(-2.0 * (math.pi * frequency * sigma) ** 2)).real
    )
