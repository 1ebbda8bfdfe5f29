"""A link that drops, repeats, reorders, damages and delays messages in both directions."""

from __future__ import annotations

import numpy as np

from robot.direct_link import DirectLearnerLink, DirectRobotLink
from robot.transport import Frames


class LossyRobotLink:
    """Wraps the robot's end of a direct pair. ``trouble`` is the chance of each kind per message."""

    def __init__(self, link: DirectRobotLink, rng: np.random.Generator, trouble: float) -> None:
        self.link, self.rng, self.trouble = link, rng, trouble
        self.held: list[Frames] = []
        self.troubled = 0
        self.down = False

    def _happens(self) -> bool:
        happened = bool(self.rng.random() < self.trouble)
        self.troubled += happened
        return happened

    def _through(self, frames: Frames) -> list[Frames]:
        if self._happens():
            return []
        if self._happens():
            which = int(self.rng.integers(len(frames)))
            data = bytearray(frames[which])
            data[int(self.rng.integers(len(data)))] ^= int(self.rng.integers(1, 256))
            frames = [bytes(data) if k == which else f for k, f in enumerate(frames)]
        if self._happens():
            self.held.append(frames)
            return []
        if self._happens():
            return [frames, frames]
        return [frames]

    def send(self, frames: Frames) -> bool:
        if self.down:
            return False
        for through in self._through(frames):
            self.link.send(through)
        if self.held and self._happens():
            self.link.send(self.held.pop(0))  # late, after others
        return True

    def receive(self) -> list[Frames]:
        if self.down:
            self.link.receive()
            return []
        return [through for frames in self.link.receive() if len(frames) for through in self._down(frames)]

    def _down(self, frames: Frames) -> list[Frames]:
        held, self.held = self.held, []
        through = self._through(frames)
        through += self.held  # downwards nothing is held back, only lost, repeated or damaged
        self.held = held
        return through

    def policy(self) -> bytes | None:
        frame = self.link.policy()
        if frame is None or self.down or self._happens():
            return None
        if self._happens():
            data = bytearray(frame)
            data[int(self.rng.integers(len(data)))] ^= int(self.rng.integers(1, 256))
            return bytes(data)
        return frame

    def wait(self, seconds: float) -> None:
        pass

    def close(self) -> None:
        self.link.close()


class Hub:
    """Several direct pairs behind one learner's end, each robot with its own identity."""

    def __init__(self, ends: list[DirectLearnerLink]) -> None:
        self.ends = {b"robot %d" % k: end for k, end in enumerate(ends)}

    def receive(self) -> list[tuple[bytes, Frames]]:
        return [(name, frames) for name, end in self.ends.items() for _, frames in end.receive()]

    def send(self, identity: bytes, frames: Frames) -> bool:
        return self.ends[identity].send(b"", frames)

    def publish(self, frame: bytes) -> None:
        for end in self.ends.values():
            end.publish(frame)

    def wait(self, seconds: float) -> None:
        pass

    def close(self) -> None:
        pass
