"""A course seen from above in a few lines of text: each character cell is 2 by 4 dots of a braille
pattern."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint16)


class BrailleMap:
    """The line of the course in grey, where the robot was lately in blue, and where it is in bright.

    ``line``: points of the course [m], shape (n, 2); x to the right, y up. ``columns``, ``rows``: size in
    characters.
    """

    def __init__(self, line: NDArray[np.float64], columns: int = 44, rows: int = 12, trail: int = 40) -> None:
        self.columns, self.rows = columns, rows
        low, high = line.min(axis=0) - 0.8, line.max(axis=0) + 0.8
        dots = np.array([columns * 2 - 1, rows * 4 - 1])
        self._scale = float((dots / (high - low)).min())
        self._origin = (low + high) / 2 - dots / (2 * self._scale)
        self._trail: deque[tuple[float, float]] = deque(maxlen=trail)
        self._course = self._cells(line)

    def _dots(self, points: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        at = np.round((points - self._origin) * self._scale).astype(np.intp)
        column, row = at[:, 0], self.rows * 4 - 1 - at[:, 1]
        inside = (column >= 0) & (column < self.columns * 2) & (row >= 0) & (row < self.rows * 4)
        return row[inside], column[inside]

    def _cells(self, points: NDArray[np.float64]) -> NDArray[np.uint16]:
        cells = np.zeros((self.rows, self.columns), np.uint16)
        row, column = self._dots(points)
        np.bitwise_or.at(cells, (row // 4, column // 2), _DOTS[row % 4, column % 2])
        return cells

    def draw(self, position: tuple[float, float] | None) -> Text:
        """The map with the robot at ``position`` [m] (None: not known yet)."""
        if position is not None and np.isfinite(position).all():
            self._trail.append(position)
        trail = self._cells(np.array(self._trail).reshape(-1, 2))
        here = self._cells(np.array([self._trail[-1]])) if self._trail else np.zeros_like(trail)
        text = Text()
        for row in range(self.rows):
            for column in range(self.columns):
                if here[row, column]:
                    text.append("●", "bold bright_yellow")
                elif trail[row, column]:
                    text.append(chr(0x2800 | int(trail[row, column])), "bright_blue")
                elif self._course[row, column]:
                    text.append(chr(0x2800 | int(self._course[row, column])), "grey50")
                else:
                    text.append(" ")
            text.append("\n")
        return text
