"""Where a camera is mounted: the transform X of A X = X B, from poses of the hand and of a board it sees.

Two methods that go about it differently must agree: Park and Martin 1994 (rotation first, by logarithms) and
Daniilidis 1999 (dual quaternions, both at once). Then all poses are refined together, each with its share of
noise in the hand, and the covariance is that of the refinement, and of what all boards' poses are off by in
common: they come from one lens, which was measured and is not known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from calibration.confidence import student_over_normal
from calibration.entry import Check, Finding, Quantity
from calibration.procedure import Array, CalibrationError, Estimate, Panel, Series

FEWEST_POSES = 15
MOST_SKEWED = 0.01
"""A matrix whose rows are farther from orthonormal [1] is no rotation, however few digits it has."""
LEAST_SPAN = np.radians(30.0)
"""About each of two axes [rad] (reference, Hand-eye)."""
APART_M, APART_RAD = 0.002, np.radians(0.5)
"""The two methods agree within this."""
MOST_M, MOST_RAD = 0.003, np.radians(1.0)
"""95 % of the error of the mounting [m], [rad]."""
TRANSLATION_SIGMA, ROTATION_SIGMA = 0.001, np.radians(0.5)
"""How well the hand's poses are known, relative to each other: weights of the refinement."""


@dataclass(frozen=True)
class Poses:
    """``hand``: of the gripper (or the body) in the base's frame; ``board``: of the board in the camera's;
    4 x 4 matrices [m], shape (n, 4, 4) each."""

    hand: Array
    board: Array


def transform(rotation: Array, translation: Array) -> Array:
    """A 4 x 4 matrix."""
    found = np.eye(4)
    found[:3, :3], found[:3, 3] = rotation, np.ravel(translation)
    return found


def matrix(x: Array) -> Array:
    """Of a translation and a rotation vector, shape (6,)."""
    return transform(Rotation.from_rotvec(x[3:]).as_matrix(), x[:3])


def vector(m: Array) -> Array:
    """Translation [m] and rotation vector [rad] of a matrix, shape (6,)."""
    return np.concatenate((m[:3, 3], Rotation.from_matrix(m[:3, :3]).as_rotvec()))


def solve(poses: Poses, method: int) -> Array:
    """The camera in the hand's frame, shape (4, 4), by one of OpenCV's methods."""
    turns, shifts, seen_turns, seen_shifts = (
        list(part) for m in (poses.hand, poses.board) for part in (m[:, :3, :3], m[:, :3, 3])
    )
    rotation, translation = cv2.calibrateHandEye(turns, shifts, seen_turns, seen_shifts, method=method)
    return transform(rotation, translation)


def span(poses: Poses) -> Array:
    """How far the hand was turned about its two best axes [rad], shape (2,): without two axes the mounting's
    translation along the one cannot be told."""
    relative = Rotation.from_matrix(poses.hand[:, :3, :3]) * Rotation.from_matrix(poses.hand[0, :3, :3]).inv()
    turned = relative.as_rotvec()
    _, _, axes = np.linalg.svd(turned - turned.mean(axis=0))
    return np.asarray(np.ptp(turned @ axes[:2].T, axis=0))


def refine(poses: Poses, start: Array) -> tuple[Array, Array, Array]:
    """Mounting that makes the board stand still in the base's frame: the camera in the hand's frame, its
    covariance in (translation [m], rotation vector [rad]), shape (6, 6), and the poses' errors [m], shape
    (n,).

    How uncertain it is is told by how the result moves when each pose in turn is left out (the cluster
    jackknife, CV3 of MacKinnon, Nielsen and Webb 2023), with Student's interval: a board's distance and tilt
    are told worse than what lies across, and how much is nobody's to know beforehand.
    """
    board = poses.hand[0] @ start @ poses.board[0]

    def errors(x: Array) -> Array:
        camera, still = matrix(x[:6]), matrix(x[6:])
        # Where the hand must have been, seen from where it says it was: the noise is the hand's.
        gap = np.linalg.inv(poses.hand) @ still @ np.linalg.inv(camera @ poses.board)
        turned = Rotation.from_matrix(gap[:, :3, :3]).as_rotvec()
        return np.concatenate((gap[:, :3, 3] / TRANSLATION_SIGMA, turned / ROTATION_SIGMA), axis=1)

    fit = least_squares(lambda x: errors(x).ravel(), np.concatenate((vector(start), vector(board))))
    inverse, scatter, count = np.linalg.inv(fit.jac.T @ fit.jac), np.zeros((12, 12)), len(poses.hand)
    for jacobian, error in zip(fit.jac.reshape(count, 6, 12), fit.fun.reshape(count, 6), strict=True):
        gradient = jacobian.T @ np.linalg.solve(np.eye(6) - jacobian @ inverse @ jacobian.T, error)
        scatter += np.outer(gradient, gradient)
    covariance = inverse @ scatter @ inverse * (count - 1) / count * student_over_normal(count - 1) ** 2
    left = np.linalg.norm(errors(fit.x)[:, :3], axis=1) * TRANSLATION_SIGMA
    return matrix(fit.x[:6]), covariance[:6, :6], left


def shared_error(poses: Callable[[Array], Poses], covariance: Array) -> Array:
    """What numbers that all boards' poses follow from add to the mounting's covariance, shape (6, 6).
    ``poses`` when these are off by so much, shape (n,), and their ``covariance``, shape (n, n)."""
    start = solve(poses(np.zeros(len(covariance))), cv2.CALIB_HAND_EYE_PARK)
    variances, directions = np.linalg.eigh(covariance)
    found = np.zeros((6, 6))
    for off in (directions * np.sqrt(np.maximum(variances, 0.0))).T:
        more, less = (vector(refine(poses(one), start)[0]) for one in (off, -off))
        found += np.outer(more - less, more - less) / 4.0
    return found


def estimate(poses: Poses, shared: Callable[[], Array] = lambda: np.zeros((6, 6))) -> Estimate:
    """``shared``: what ``shared_error`` says, where the boards' poses come from pictures. Raises
    CalibrationError with what to do if the poses will not do."""
    if len(poses.hand) < FEWEST_POSES:
        raise CalibrationError(f"{len(poses.hand)} poses; at least {FEWEST_POSES} were expected")
    for name, matrices in (("hand", poses.hand), ("board", poses.board)):
        turns = matrices[:, :3, :3]
        off = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
        wrong = ~((off < MOST_SKEWED) & (np.linalg.det(turns) > 0.0))
        if wrong.any():
            raise CalibrationError(
                f"{name} of pose {int(wrong.argmax()) + 1} is no rotation with a shift: its upper left 3 x 3 "
                "numbers were expected to be orthonormal rows of a right-handed frame"
            )
    spans = span(poses)
    if spans.min() < LEAST_SPAN:
        raise CalibrationError(
            f"the hand turned by {np.degrees(spans[0]):.0f} and {np.degrees(spans[1]):.0f} degrees about its "
            "two best axes, 30 about each were expected: the mounting cannot be told; turn it more"
        )
    park, daniilidis = (solve(poses, m) for m in (cv2.CALIB_HAND_EYE_PARK, cv2.CALIB_HAND_EYE_DANIILIDIS))
    apart_m = float(np.linalg.norm(park[:3, 3] - daniilidis[:3, 3]))
    between = Rotation.from_matrix(park[:3, :3].T @ daniilidis[:3, :3])
    camera, covariance, left = refine(poses, park)
    worst = int(np.argmax(left))
    if left[worst] > 4.0 * np.median(left) and left[worst] > 5.0 * TRANSLATION_SIGMA:
        raise CalibrationError(
            f"pose {worst + 1} is {1e3 * left[worst]:.0f} mm off, {1e3 * np.median(left):.1f} mm is usual: "
            "the board was moved, or two poses were swapped; take them again"
        )
    covariance += shared()
    sigmas, values = np.sqrt(np.diag(covariance)), vector(camera)
    names = ("camera_x", "camera_y", "camera_z", "camera_turn_x", "camera_turn_y", "camera_turn_z")
    return Estimate(
        method=f"hand-eye, {len(poses.hand)} poses, Park and Daniilidis, refined together",
        quantities=tuple(
            Quantity(name, "m" if k < 3 else "rad", float(values[k])) for k, name in enumerate(names)
        ),
        covariance=covariance,
        checks=(
            Check("two methods apart", "m", apart_m, APART_M),
            Check("two methods apart", "rad", float(between.magnitude()), APART_RAD),
            Check("95 % of the mounting's error", "m", 1.96 * float(np.linalg.norm(sigmas[:3])), MOST_M),
            Check("95 % of the mounting's error", "rad", 1.96 * float(np.linalg.norm(sigmas[3:])), MOST_RAD),
        ),
        findings=(Finding("pose_error", "m", float(np.sqrt(np.mean(left**2)))),),
        panels=(
            Panel(
                "errors of the poses",
                "pose",
                "error [mm]",
                (Series("poses", np.arange(len(left), dtype=np.float64), 1e3 * left),),
            ),
        ),
    )
