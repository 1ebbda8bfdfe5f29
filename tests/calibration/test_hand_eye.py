"""A camera's mounting from poses of hand and board: found, with its interval, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import binomtest

from calibration.hand_eye import ROTATION_SIGMA, TRANSLATION_SIGMA, Poses, estimate, transform
from calibration.procedure import CalibrationError

TRUE = transform(Rotation.from_rotvec([0.1, -1.4, 0.3]).as_matrix(), np.array([0.04, -0.02, 0.07]))
BOARD = transform(Rotation.from_rotvec([3.0, 0.2, 0.1]).as_matrix(), np.array([0.4, 0.1, 0.0]))


def taken(count: int, seed: int, tilt: float = 0.6, noise: float = 1.0) -> Poses:
    """Poses in which the board stands still and the hand is known as well as a robot's is."""
    rng = np.random.default_rng(seed)
    hands, boards = [], []
    for _ in range(count):
        hand = transform(
            Rotation.from_rotvec(rng.uniform(-tilt, tilt, 3)).as_matrix(), rng.uniform(-0.2, 0.2, 3)
        )
        boards.append(np.linalg.inv(hand @ TRUE) @ BOARD)
        off = transform(
            Rotation.from_rotvec(0.3 * noise * ROTATION_SIGMA * rng.standard_normal(3)).as_matrix(),
            0.3 * noise * TRANSLATION_SIGMA * rng.standard_normal(3),
        )
        hands.append(hand @ off)
    return Poses(np.array(hands), np.array(boards))


def error(found: np.ndarray) -> np.ndarray:
    turn = Rotation.from_matrix(TRUE[:3, :3]).as_rotvec()
    return found - np.concatenate((TRUE[:3, 3], turn))


def test_the_mounting_is_found_and_the_intervals_cover() -> None:
    inside, total = 0, 0
    for seed in range(20):
        found = estimate(taken(25, seed))
        gap = error(np.array([q.value for q in found.quantities]))
        assert np.linalg.norm(gap[:3]) < 0.003 and np.linalg.norm(gap[3:]) < np.radians(1.0)
        inside += int((np.abs(gap) < 1.96 * np.sqrt(np.diag(found.covariance))).sum())
        total += 6
    assert binomtest(inside, total, 0.95).pvalue > 0.001, inside / total
    assert all(check.passed for check in found.checks)


def test_without_noise_it_is_exact() -> None:
    found = estimate(taken(15, 0, noise=0.0))
    np.testing.assert_allclose(error(np.array([q.value for q in found.quantities])), 0.0, atol=1e-6)


def test_a_hand_that_turned_about_one_axis_is_refused() -> None:
    poses = taken(20, 1)
    angles = np.linspace(-0.6, 0.6, 20)
    for k, angle in enumerate(angles):
        poses.hand[k, :3, :3] = Rotation.from_rotvec([0.0, 0.0, angle]).as_matrix()
        poses.board[k] = np.linalg.inv(poses.hand[k] @ TRUE) @ BOARD
    with pytest.raises(CalibrationError, match="about its two best axes"):
        estimate(poses)


def test_a_board_that_was_moved_or_swapped_poses_are_refused() -> None:
    poses = taken(20, 2)
    poses.board[11, :3, 3] += [0.02, 0.0, 0.0]
    with pytest.raises(CalibrationError, match=r"pose 12 is .* mm off"):
        estimate(poses)
    with pytest.raises(CalibrationError, match="at least 15"):
        estimate(taken(14, 0))


@pytest.mark.parametrize("turn", [np.zeros((3, 3)), 2.0 * np.eye(3), np.diag([1.0, 1.0, -1.0])])
def test_a_matrix_that_is_no_pose_is_refused_by_number(turn: np.ndarray) -> None:
    poses = taken(20, 1)
    poses.board[4, :3, :3] = turn
    with pytest.raises(CalibrationError, match="board of pose 5 is no rotation"):
        estimate(poses)
