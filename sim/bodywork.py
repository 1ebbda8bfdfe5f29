"""What the car looks like: geoms that are drawn and touch nothing. Sizes in metres, in the body frame."""

from __future__ import annotations

import math

RED, DARK, BLACK = "0.85 0.16 0.10", "0.15 0.15 0.17", "0.10 0.10 0.10"
WINDOW, WHITE, RIM, SPOKE = "0.12 0.17 0.25", "0.97 0.95 0.90", "0.75 0.75 0.78", "0.30 0.30 0.33"


def wheel_bodywork(radius: float, half_width: float) -> str:
    """Tyre, rim and a spoke that shows the rotation, about an axle along y."""
    return (
        _wheel((radius, half_width), BLACK)
        + _wheel((0.55 * radius, half_width + 0.001), RIM)
        + _box((0.0, 0.0, 0.0), (0.5 * radius, half_width + 0.002, 0.12 * radius), SPOKE)
    )


def body_bodywork(middle: float, ground: float, length: float, width: float) -> str:
    """A short-course body: ``middle`` of its length in x, ``ground`` in z."""
    cabin = middle - 0.035
    return "".join(
        (
            _box((middle, 0.0, ground + 0.05), (length / 2 - 0.03, 0.07, 0.02), DARK),
            _box((middle + length / 2 - 0.015, 0.0, ground + 0.06), (0.015, 0.42 * width, 0.02), BLACK),
            _box((middle - length / 2 + 0.015, 0.0, ground + 0.06), (0.015, 0.36 * width, 0.02), BLACK),
            _box((middle, 0.0, ground + 0.085), (length / 2 - 0.03, 0.34 * width, 0.022), RED),
            _box((middle + 0.17, 0.0, ground + 0.1075), (0.09, 0.025, 0.0008), WHITE),
            _box((cabin, 0.0, ground + 0.122), (0.1, 0.28 * width, 0.02), WINDOW),
            _box((cabin - 0.015, 0.0, ground + 0.146), (0.075, 0.26 * width, 0.005), RED),
            _box((middle - length / 2 + 0.04, 0.0, ground + 0.145), (0.03, 0.36 * width, 0.004), RED),
            _box((middle - length / 2 + 0.05, 0.0, ground + 0.12), (0.006, 0.1, 0.025), DARK),
            _disc((cabin, 0.0, ground + 0.163), (0.028, 0.012), WHITE),
        )
    )


def _box(place: tuple[float, ...], half_size: tuple[float, ...], rgb: str) -> str:
    return _geom("box", place, half_size, rgb)


def _disc(place: tuple[float, ...], size: tuple[float, ...], rgb: str) -> str:
    return _geom("cylinder", place, size, rgb)


def _wheel(size: tuple[float, ...], rgb: str) -> str:
    return _geom("cylinder", (0.0, 0.0, 0.0), size, rgb, f' euler="{math.pi / 2} 0 0"')


def _geom(shape: str, place: tuple[float, ...], size: tuple[float, ...], rgb: str, more: str = "") -> str:
    position, extent = (" ".join(str(v) for v in values) for values in (place, size))
    return (
        f'<geom class="drawn" type="{shape}" pos="{position}" size="{extent}" rgba="{rgb} 1"{more}/>\n      '
    )
