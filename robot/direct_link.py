"""Both ends of a link inside one thread, for lockstep: the same bytes, no sockets, no waiting."""

from __future__ import annotations

from collections import deque
from typing import Final

from robot.transport import QUEUED_MESSAGES, Frames


def direct_link_pair() -> tuple[DirectRobotLink, DirectLearnerLink]:
    """The robot's and the learner's end of one link."""
    up: deque[Frames] = deque()
    down: deque[Frames] = deque()
    newest: list[bytes] = []
    return DirectRobotLink(up, down, newest), DirectLearnerLink(up, down, newest)


class DirectRobotLink:
    """The robot's end of a link in one thread."""

    def __init__(self, up: deque[Frames], down: deque[Frames], newest: list[bytes]) -> None:
        self._up, self._down, self._newest = up, down, newest

    def send(self, frames: Frames) -> bool:
        if len(self._up) >= QUEUED_MESSAGES:
            return False
        self._up.append(frames)
        return True

    def receive(self) -> list[Frames]:
        messages = list(self._down)
        self._down.clear()
        return messages

    def policy(self) -> bytes | None:
        return self._newest.pop() if self._newest else None

    def wait(self, seconds: float) -> None:
        """Nothing arrives by waiting within one thread."""

    def close(self) -> None:
        self._up.clear()


class DirectLearnerLink:
    """The learner's end of a link in one thread."""

    IDENTITY: Final = b"direct"

    def __init__(self, up: deque[Frames], down: deque[Frames], newest: list[bytes]) -> None:
        self._up, self._down, self._newest = up, down, newest

    def receive(self) -> list[tuple[bytes, Frames]]:
        messages = [(self.IDENTITY, frames) for frames in self._up]
        self._up.clear()
        return messages

    def send(self, identity: bytes, frames: Frames) -> bool:
        if len(self._down) >= QUEUED_MESSAGES:
            return False
        self._down.append(frames)
        return True

    def publish(self, frame: bytes) -> None:
        self._newest[:] = [frame]

    def wait(self, seconds: float) -> None:
        """Nothing arrives by waiting within one thread."""

    def close(self) -> None:
        self._down.clear()
