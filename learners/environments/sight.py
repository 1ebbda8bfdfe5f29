"""What an environment shows: numbers, pictures, or both under names."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from robot.contract import ImageTerm
from robot.errors import SandlotError

PIXELS: Final = "pixels"
"""What the picture is called where an environment shows nothing else."""


class Sight:
    """How to read an observation: a Box of floats with one dimension, a Box of uint8 with three (height,
    width, channels), or a Dict of such Boxes, of which those of floats follow one another in its order.

    ``stack``: pictures to a stack. Raises SandlotError for any other space.
    """

    def __init__(self, space: Any, name: str, stack: int) -> None:
        parts = getattr(space, "spaces", None)
        self._named = isinstance(parts, dict) or hasattr(parts, "items")
        boxes: dict[str, Any] = dict(parts) if parts is not None and self._named else {PIXELS: space}
        wrong = [box for box in boxes.values() if not (is_vector(box) or _is_picture(box))]
        if wrong or not boxes:
            raise SandlotError(
                f"{name}: expected observations in a Box of floats with one dimension, of uint8 with three "
                f"(height, width, channels), or a Dict of such; got {space}. "
                "gymnasium.wrappers.FlattenObservation makes a vector of several Boxes or of more dimensions"
            )
        self._vectors = [key for key, box in boxes.items() if is_vector(box)]
        self.size = sum(boxes[key].shape[0] for key in self._vectors)
        """Numbers."""
        shapes = {key: map(int, box.shape) for key, box in boxes.items() if _is_picture(box)}
        self.images = tuple(
            ImageTerm(name=key, height=height, width=width, channels=channels, stack=stack)
            for key, (height, width, channels) in shapes.items()
        )

    def numbers(self, observation: Any) -> NDArray[np.float32]:
        """(size,)"""
        parts = [np.asarray(self._part(observation, key), np.float32) for key in self._vectors]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def frame(self, observation: Any, dtype: np.dtype[np.void]) -> NDArray[np.void]:
        """All pictures as one frame of the contract's dtype, (1,)."""
        frame = np.zeros(1, dtype)
        for image in self.images:
            frame[image.name] = self._part(observation, image.name)
        return frame

    def _part(self, observation: Any, key: str) -> Any:
        return observation[key] if self._named else observation


def is_vector(space: Any) -> bool:
    """Whether it is a Box of floats with one dimension."""
    return _is_box(space, 1) and bool(np.issubdtype(space.dtype, np.floating))


def _is_picture(space: Any) -> bool:
    return _is_box(space, 3) and bool(space.dtype == np.uint8)


def _is_box(space: Any, dimensions: int) -> bool:
    shape = getattr(space, "shape", None) or ()
    return hasattr(space, "low") and hasattr(space, "high") and len(shape) == dimensions
