"""Intrinsics from rendered pictures of a board, and every reason to refuse them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import binomtest

from calibration import hand_eye
from calibration.board import Board, Image, View, read_images, views_of
from calibration.camera import NAMES, Lens, board_pose, calibrate, estimate
from calibration.hand_eye import Poses, matrix, shared_error, transform, vector
from calibration.procedure import CalibrationError, Estimate
from tests.doubles.board_pictures import DISTORTION, MATRIX, SIZE, picture

BOARD = Board()


def poses(count: int, tilt: float, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Over the whole picture, tilted by up to ``tilt`` [rad] each way."""
    middle = np.array([BOARD.columns, BOARD.rows]) * BOARD.square / 2
    found = []
    for k in range(count):
        turn = rng.uniform(-tilt, tilt, 3)
        aside = np.array([(k % 4 - 1.5) * 0.07, (k // 4 % 3 - 1) * 0.06, rng.uniform(0.33, 0.42)])
        found.append((turn, aside - cv2.Rodrigues(turn)[0] @ np.append(middle, 0.0)))
    return found


@pytest.fixture(scope="module")
def images() -> list[tuple[str, Image]]:
    rng = np.random.default_rng(0)
    return [(f"{k:02}.png", picture(BOARD, *pose, rng)) for k, pose in enumerate(poses(24, 0.5, rng))]


@pytest.fixture(scope="module")
def views(images: list[tuple[str, Image]]) -> list[View]:
    return views_of(BOARD, images)


def test_the_camera_that_took_the_pictures_is_found(views: list[View]) -> None:
    found = estimate(views, SIZE)
    assert all(check.passed for check in found.checks), found.checks
    values = {q.name: q.value for q in found.quantities}
    (fx, _, cx), (_, fy, cy), _ = MATRIX
    true = dict(zip(NAMES, (fx, fy, cx, cy, *DISTORTION), strict=True))
    for row, (name, value) in enumerate(true.items()):
        allowed = max(4.0 * found.covariance[row, row] ** 0.5, 0.003 * abs(value))
        assert abs(values[f"camera_{name}"] - value) < allowed, name
    assert found.covariance[4, 4] ** 0.5 < 0.1 * abs(true["k1"])


def seen(lens: Lens, board: np.ndarray, rng: np.random.Generator) -> View:
    """What of the board is in the picture, each corner found to a seventh of a pixel."""
    corners = BOARD.charuco().getChessboardCorners().astype(np.float64)
    turn = Rotation.from_matrix(board[:3, :3]).as_rotvec()
    pixels = cv2.projectPoints(corners, turn, board[:3, 3], lens.matrix, lens.distortion)[0].reshape(-1, 2)
    kept = ((pixels > 0.0) & (pixels < SIZE)).all(axis=1)
    noisy = pixels[kept] + 0.15 * rng.standard_normal((int(kept.sum()), 2))
    return View("", corners[kept].astype(np.float32), noisy.astype(np.float32))


MOUNTED = matrix(np.array([0.04, -0.02, 0.07, 0.1, -1.4, 0.3]))
STANDS = matrix(np.array([0.5, 0.1, 0.2, 0.4, 0.2, -0.7]))


def shown(lens: Lens, rng: np.random.Generator) -> tuple[np.ndarray, list[View]]:
    """The hand's poses, and the board as the camera in it sees it."""
    middle = np.array([BOARD.columns, BOARD.rows, 0]) * BOARD.square / 2
    hands, views = [], []
    for _ in range(20):
        turn = Rotation.from_rotvec(rng.uniform(-0.5, 0.5, 3)).as_matrix()
        board = transform(turn, [*rng.uniform(-0.05, 0.05, 2), rng.uniform(0.33, 0.42)] - turn @ middle)
        hands.append(STANDS @ np.linalg.inv(board) @ np.linalg.inv(MOUNTED))
        views.append(seen(lens, board, rng))
    return np.array(hands), views


def held(told: Estimate) -> int:
    """How many of the mounting's intervals."""
    gap = np.array([q.value for q in told.quantities]) - vector(MOUNTED)
    return int((np.abs(gap) < 1.96 * np.sqrt(np.diag(told.covariance))).sum())


def test_a_board_s_distance_is_told_worse_than_what_lies_across_and_the_intervals_know() -> None:
    lens, draws, inside = Lens(MATRIX, DISTORTION), 50, 0
    for seed in range(draws):
        hands, views = shown(lens, np.random.default_rng(seed))
        inside += held(hand_eye.estimate(Poses(hands, np.array([board_pose(view, lens) for view in views]))))
    assert binomtest(inside, 6 * draws, 0.95).pvalue > 0.01, inside


@pytest.mark.slow
def test_intervals_hold_of_lenses_that_were_drawn_and_of_how_they_are_mounted() -> None:
    lenses, mountings, draws = 0, 0, 14
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        focal, centre, bent = rng.uniform(450, 650, 2), rng.uniform(230, 330, 2), rng.normal(0.0, 0.1)
        lens = Lens.of(np.array([*focal, *centre, bent - 0.1, 0.05, 0.0, 0.0, 0.0]))
        boards = [transform(cv2.Rodrigues(turn)[0], shift) for turn, shift in poses(24, 0.5, rng)]
        found = calibrate([seen(lens, board, rng) for board in boards], SIZE)
        gap = found.lens.values() - lens.values()
        lenses += int((np.abs(gap) < 1.96 * np.sqrt(np.diag(found.covariance))).sum())
        mountings += held(measured(found.lens, found.covariance, *shown(lens, rng)))
    assert binomtest(lenses, 9 * draws, 0.95).pvalue > 0.01, lenses
    assert binomtest(mountings, 6 * draws, 0.95).pvalue > 0.01, mountings


def measured(lens: Lens, covariance: np.ndarray, hands: np.ndarray, views: list[View]) -> Estimate:
    """The mounting, by a lens that is known so well."""

    def through(off: np.ndarray) -> Poses:
        one = Lens.of(lens.values() + off)
        return Poses(hands, np.array([board_pose(view, one) for view in views]))

    return hand_eye.estimate(through(np.zeros(9)), partial(shared_error, through, covariance))


def test_a_board_that_moved_is_refused_by_name(views: list[View]) -> None:
    moved = views[7].pixels.copy()
    moved[: len(moved) // 2] += 4.0  # half of it was taken before the board was knocked
    wrong = [*views[:7], View(views[7].name, views[7].board, moved), *views[8:]]
    with pytest.raises(CalibrationError, match=rf"{views[7].name}: error.*the board moved"):
        estimate(wrong, SIZE)


def test_a_board_that_was_never_tilted_is_refused() -> None:
    rng = np.random.default_rng(1)
    flat = [(str(k), picture(BOARD, *pose, rng)) for k, pose in enumerate(poses(20, 0.02, rng))]
    with pytest.raises(CalibrationError, match="never tilted by more than"):
        estimate(views_of(BOARD, flat), SIZE)


def test_a_corner_without_the_board_is_pointed_out(views: list[View]) -> None:
    left = [v for v in views if v.pixels[:, 0].mean() < 330]
    found = estimate((left * 3)[:24], SIZE)
    assert not all(check.passed for check in found.checks)
    assert any("right" in line for line in found.lines)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((1, 1, 0.03, 0.02), "1 x 1 squares"),
        ((40, 30, 0.03, 0.02), "100 markers"),
        ((8, 6, 0.02, 0.03), "smaller than the squares"),
        ((8, 6, float("nan"), 0.02), "smaller than the squares"),
    ],
)
def test_a_board_that_cannot_be_is_refused(shape: tuple[int, int, float, float], told: str) -> None:
    with pytest.raises(CalibrationError, match=told):
        Board(*shape)


def test_too_few_pictures_another_board_and_other_sizes_are_refused(
    images: list[tuple[str, Image]], views: list[View], tmp_path: Path
) -> None:
    with pytest.raises(CalibrationError, match="at least 20 were expected"):
        estimate(views[:19], SIZE)
    with pytest.raises(CalibrationError, match="no pictures in"):
        read_images(tmp_path)
    cv2.imwrite(str(tmp_path / "a.png"), images[0][1])
    cv2.imwrite(str(tmp_path / "b.png"), images[1][1][:240])
    with pytest.raises(CalibrationError, match="several sizes"):
        read_images(tmp_path)
