"""Camera intrinsics from pictures of a ChArUco board: pinhole with radial and tangential distortion.

Zhang 2000, as ``cv2.calibrateCameraExtended`` has it. Every fourth view is held out and only located with the
result; a view in which the board was moved while the picture was taken, or bent, stands out and is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from calibration.board import View
from calibration.entry import Check, Entry, Finding, Quantity
from calibration.hand_eye import transform
from calibration.procedure import Array, CalibrationError, Estimate, Panel, Series
from robot.spec import RobotSpec

FEWEST_VIEWS = 20
"""Reference, Intrinsics."""
HELD_OUT = 4
MOST_RMS = 0.5
"""[pixels]; 1 for a wide angle."""
MOST_SIGMA = 0.005
"""Of the focal length [1]."""
LEAST_COVERAGE = 0.8
"""Of the picture's cells with a corner in them [1]."""
MOST_HELD_OUT = 1.3
"""Held-out error, of that of the fit."""
MOST_VIEW = 3.0
"""A view whose error is so many times the median's is not of a flat board that stood still."""
CELLS = (8, 6)
"""The picture in columns and rows, for coverage."""
LEAST_TILT = 0.35
"""Largest tilt of the board towards the camera that must occur [rad], of 35 degrees asked for: without any,
focal length and distance cannot be told apart."""
NAMES = ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2", "k3")
UNITS = ("px", "px", "px", "px", "1", "1", "1", "1", "1")


@dataclass(frozen=True)
class Lens:
    """``matrix`` (3, 3) [pixels] and ``distortion`` (5,) [1] as OpenCV has them."""

    matrix: Array
    distortion: Array

    @classmethod
    def of(cls, values: Array) -> Lens:
        """From nine numbers in the order of ``NAMES``."""
        fx, fy, cx, cy = values[:4]
        return cls(np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]), np.array(values[4:]))

    def values(self) -> Array:
        """In the order of ``NAMES``, shape (9,)."""
        m = self.matrix
        return np.array([m[0, 0], m[1, 1], m[0, 2], m[1, 2], *self.distortion])


@dataclass(frozen=True)
class Intrinsics:
    """``covariance`` of the lens's values, shape (9, 9); ``errors``: root mean square of each view [pixels];
    ``tilts``: of the board in each [rad]."""

    lens: Lens
    covariance: Array
    rms: float
    errors: Array
    tilts: Array


def calibrate(views: Sequence[View], size: tuple[int, int]) -> Intrinsics:
    """``size``: width and height of the pictures [pixels]."""
    rms, matrix, distortion, turns, shifts, _, _, errors = cv2.calibrateCameraExtended(
        [view.board for view in views], [view.pixels for view in views], size, None, None
    )
    lens = Lens(np.asarray(matrix, np.float64), np.asarray(distortion, np.float64).ravel()[:5])
    tilts = [np.arccos(np.clip(abs(cv2.Rodrigues(turn)[0][2, 2]), 0.0, 1.0)) for turn in turns]
    return Intrinsics(
        lens,
        _covariance(lens, views, turns, shifts),
        float(rms),
        np.asarray(errors, np.float64).ravel(),
        np.array(tilts),
    )


def _covariance(lens: Lens, views: Sequence[View], turns: Sequence[Array], shifts: Sequence[Array]) -> Array:
    """Of the lens's values, shape (9, 9): OpenCV tells standard deviations only, and a focal length and the
    distortion that goes with it are off together. Every view's pose is marginalised (Schur complement)."""
    information, squares, count = np.zeros((9, 9)), 0.0, 0
    for view, turn, shift in zip(views, turns, shifts, strict=True):
        projected, jacobian = cv2.projectPoints(view.board, turn, shift, lens.matrix, lens.distortion)
        pose, own = jacobian[:, :6], jacobian[:, 6:15]
        information += own.T @ (own - pose @ np.linalg.lstsq(pose, own, rcond=None)[0])
        left = projected.reshape(-1, 2) - view.pixels
        squares, count = squares + float(np.sum(left**2)), count + left.size
    variance = squares / (count - len(NAMES) - 6 * len(views))
    return np.asarray(variance * np.linalg.inv(information))


def lens_of(spec: RobotSpec, entries: Sequence[Entry]) -> tuple[Lens, Array] | None:
    """A robot's lens and the covariance of its values, shape (9, 9), how they are off together being as the
    newest of its ``entries`` has it; None if it was not measured."""
    names = [f"camera_{name}" for name in NAMES]
    if any(name not in spec.calibration for name in names):
        return None
    together = np.eye(len(names))
    for entry in entries:
        if [quantity.name for quantity in entry.quantities] == names:
            together = entry.correlation()
    sigmas = np.array([spec.calibration[name].sigma for name in names])
    return Lens.of(np.array([spec.scalar(name) for name in names])), together * np.outer(sigmas, sigmas)


def board_pose(view: View, lens: Lens) -> Array:
    """The board in the camera's frame, shape (4, 4) [m]."""
    _, turn, shift = cv2.solvePnP(view.board, view.pixels, lens.matrix, lens.distortion)
    return transform(cv2.Rodrigues(turn)[0], shift)


def locate_error(lens: Lens, view: View) -> float:
    """Root mean square reprojection error [pixels] of a view that was not fitted, its pose alone free."""
    _, turn, shift = cv2.solvePnP(view.board, view.pixels, lens.matrix, lens.distortion)
    projected, _ = cv2.projectPoints(view.board, turn, shift, lens.matrix, lens.distortion)
    return float(np.sqrt(np.mean(np.sum((projected.reshape(-1, 2) - view.pixels) ** 2, axis=1))))


def coverage(views: Sequence[View], size: tuple[int, int]) -> tuple[float, list[str]]:
    """Share of the picture's cells with corners in them, and where there are none, for a person."""
    cells = np.zeros(CELLS[::-1], bool)
    for view in views:
        column = np.clip((view.pixels[:, 0] / size[0] * CELLS[0]).astype(int), 0, CELLS[0] - 1)
        row = np.clip((view.pixels[:, 1] / size[1] * CELLS[1]).astype(int), 0, CELLS[1] - 1)
        cells[row, column] = True
    missing = []
    halves = {"top left": (0, 0), "top right": (0, 1), "bottom left": (1, 0), "bottom right": (1, 1)}
    for name, (down, right) in halves.items():
        part = cells[down * 3 : down * 3 + 3, right * 4 : right * 4 + 4]
        if part.mean() < LEAST_COVERAGE:
            missing.append(f"hold the board more into the {name} ({100 * part.mean():.0f} % covered)")
    return float(cells.mean()), missing


def estimate(views: Sequence[View], size: tuple[int, int]) -> Estimate:
    """Raises CalibrationError with what to do if the views will not do."""
    if len(views) < FEWEST_VIEWS:
        raise CalibrationError(
            f"the board was found in {len(views)} pictures, at least {FEWEST_VIEWS} were expected; is it the "
            "board that was described, sharp and well lit?"
        )
    whole = calibrate(views, size)
    worst = int(np.argmax(whole.errors))
    if whole.errors[worst] > MOST_VIEW * np.median(whole.errors) and whole.errors[worst] > MOST_RMS:
        raise CalibrationError(
            f"{views[worst].name}: error {whole.errors[worst]:.2f} pixels, {np.median(whole.errors):.2f} is "
            "usual: the board moved, is bent, or is another one there; take that picture out"
        )
    if whole.tilts.max() < LEAST_TILT:
        raise CalibrationError(
            f"the board was never tilted by more than {np.degrees(whole.tilts.max()):.0f} degrees: focal "
            "length and distance cannot be told apart; tilt it by 35 degrees each way"
        )
    kept = [view for k, view in enumerate(views) if k % HELD_OUT != HELD_OUT - 1]
    held = [view for k, view in enumerate(views) if k % HELD_OUT == HELD_OUT - 1]
    part = calibrate(kept, size)
    outside = float(np.sqrt(np.mean([locate_error(part.lens, view) ** 2 for view in held])))
    covered, missing = coverage(views, size)
    values = whole.lens.values()
    sigma_fx = float(np.sqrt(whole.covariance[0, 0]))
    return Estimate(
        method=f"ChArUco, {len(views)} views, pinhole with five distortion terms",
        quantities=tuple(
            Quantity(f"camera_{name}", unit, float(value))
            for name, unit, value in zip(NAMES, UNITS, values, strict=True)
        ),
        covariance=whole.covariance,
        checks=(
            Check("reprojection error", "px", whole.rms, MOST_RMS),
            Check("standard deviation of fx, of it", "1", sigma_fx / float(values[0]), MOST_SIGMA),
            Check("covered share of the picture", "1", covered, LEAST_COVERAGE, least=True),
            Check("held-out error, of the fit's", "1", outside / part.rms, MOST_HELD_OUT),
        ),
        findings=(Finding("held_out_error", "px", outside),),
        panels=(
            Panel(
                "corners in the picture",
                "x [px]",
                "y [px], downwards",
                (Series("corners", *np.concatenate([v.pixels for v in views]).T.astype(np.float64)),),
            ),
            Panel(
                "errors of the views",
                "view",
                "error [px]",
                (Series("views", np.arange(len(views), dtype=np.float64), whole.errors),),
            ),
        ),
        lines=tuple(missing),
    )
