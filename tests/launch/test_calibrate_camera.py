"""A camera by its pictures alone, from the command line: its lens, and then where it is mounted."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from calibration.board import Board
from calibration.book import Book
from calibration.hand_eye import transform
from launch.cli import main
from tests.doubles.board_pictures import picture

pytestmark = pytest.mark.slow
BOARD = Board()
MIDDLE = np.array([BOARD.columns * BOARD.square / 2, BOARD.rows * BOARD.square / 2, 0.0])
MOUNTED = transform(Rotation.from_rotvec([0.1, -1.4, 0.3]).as_matrix(), np.array([0.04, -0.02, 0.07]))
"""The camera in the hand's frame."""
STANDS = transform(Rotation.from_rotvec([0.4, 0.2, -0.7]).as_matrix(), np.array([0.5, 0.1, 0.2]))
"""The board in the base's frame."""


def looking(rng: np.random.Generator, aside: np.ndarray) -> np.ndarray:
    """The board in the camera's frame, tilted by up to half a radian each way about its middle."""
    turn = Rotation.from_rotvec(rng.uniform(-0.5, 0.5, 3)).as_matrix()
    return transform(turn, np.array([*aside, rng.uniform(0.33, 0.42)]) - turn @ MIDDLE)


def take(folder: Path, name: str, board: np.ndarray, rng: np.random.Generator) -> None:
    folder.mkdir(exist_ok=True)
    turn = Rotation.from_matrix(board[:3, :3]).as_rotvec()
    cv2.imwrite(str(folder / name), picture(BOARD, turn, board[:3, 3], rng))


def test_lens_and_mounting_are_found_from_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SANDLOT_CALIBRATION", str(tmp_path / "book"))
    rng = np.random.default_rng(0)
    for k in range(24):
        aside = np.array([(k % 4 - 1.5) * 0.07, (k // 4 % 3 - 1) * 0.06])
        take(tmp_path / "lens", f"{k:02}.png", looking(rng, aside), rng)
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "racer", "camera", "--images", str(tmp_path / "lens")])
    assert ended.value.code == 0, capsys.readouterr()
    rows = []
    for k in range(20):
        board = looking(rng, rng.uniform(-0.05, 0.05, 2))
        hand = STANDS @ np.linalg.inv(board) @ np.linalg.inv(MOUNTED)
        take(tmp_path / "hand", f"{k:02}.png", board, rng)
        rows.append(f'[[poses]]\nhand = {hand.tolist()}\npicture = "{k:02}.png"\n')
    poses = tmp_path / "poses.toml"
    poses.write_text("\n".join(rows))
    asked = ["calibrate", "racer", "hand-eye", "--poses", str(poses), "--images", str(tmp_path / "hand")]
    with pytest.raises(SystemExit) as ended:
        main(asked)
    assert ended.value.code == 0, capsys.readouterr()
    entries = {entry.procedure: entry for entry in Book("racer").current()}
    mounting = np.array([q.value for q in entries["hand-eye"].quantities])
    turn = Rotation.from_matrix(MOUNTED[:3, :3]).as_rotvec()
    off = mounting - np.concatenate((MOUNTED[:3, 3], turn))
    assert np.linalg.norm(off[:3]) < 0.003 and np.linalg.norm(off[3:]) < np.radians(1.0)
    sigmas = np.array([entries["hand-eye"].sigma(row) for row in range(6)])
    assert (np.abs(off) < 3.0 * sigmas).all(), "what the lens is off by is in the mounting's covariance"
    assert str(poses) in entries["hand-eye"].source and str(tmp_path / "hand") in entries["hand-eye"].source
