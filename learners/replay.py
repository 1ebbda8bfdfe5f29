"""Experience as it came: step rows in a ring, and which of them are transitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learners.frames import Frames
from robot.errors import SandlotError

Bool = NDArray[np.bool_]


class Transitions(NamedTuple):
    """From each of N rows as far as its path goes: k steps, n of them or fewer. Float32 arrays."""

    observation: NDArray[np.float32]  # (N, O)
    action: NDArray[np.float32]  # (N, A), of the first step
    reward: NDArray[np.float32]  # (N,): r_0 + g r_1 + ... + g^(k - 1) r_(k - 1)
    discount: NDArray[np.float32]  # (N,), of the value that comes next: g^k, or 0 after a termination
    next_observation: NDArray[np.float32]  # (N, O), after k steps; anything where the discount is 0
    cost: NDArray[np.float32]  # (N, C), summed up as the reward


class Chunks(NamedTuple):
    """Transitions with all of their actions, for critics and policies of action chunks (Li et al. 2025,
    arXiv 2507.07969). A chunk that a termination cut short is complete in ``discount`` (0) and in nothing
    else: what its remaining actions would have been, nobody knows."""

    observation: NDArray[np.float32]  # (N, O)
    action: NDArray[np.float32]  # (N, n, A), zeros from the path's end on
    length: NDArray[np.int64]  # (N,): k, how many of the actions were executed
    reward: NDArray[np.float32]  # (N,)
    discount: NDArray[np.float32]  # (N,)
    next_observation: NDArray[np.float32]  # (N, O)


Pictures = tuple[NDArray[np.uint8], ...]
"""For each camera stacks (N, stack, height, width, channels), oldest first."""


class Paths(NamedTuple):
    """Where N paths of at most n steps lead."""

    slots: NDArray[np.int64]  # (N, n): each step's row; from the end on the last one again
    length: NDArray[np.int64]  # (N,), at least 1


class Replay:
    """The newest ``capacity`` rows of any number of interleaved sessions, each row stored once.

    Row i starts a transition once its successor (same session and episode, next ``step``) has arrived, or at
    once if it terminated: its next observation then does not matter. Rows that are ``last``, not finite, or
    not acted by someone this replay learns from never start one. A successor always arrives later, hence is
    always overwritten later: a transition disappears with its first row.

    A path of n steps goes on from row to row while each starts a transition: it ends with a termination or
    truncation, and before a row that somebody else acted or that is missing. What is added up and what is
    bootstrapped from is therefore one and the same actor's, in one episode.

    With ``frames`` every row has pictures, in the slot of its own. A row whose stack reaches back to one that
    never came or was overwritten starts no transition: of pictures that the actor saw, none is made up.
    """

    def __init__(self, dtype: np.dtype[np.void], capacity: int, frames: Frames | None = None) -> None:
        fields: Mapping[str, Any] = dtype.fields or {}
        self.capacity = capacity
        self.observation = np.zeros((capacity, *fields["observation"][0].shape), np.float32)
        self.action = np.zeros((capacity, *fields["action"][0].shape), np.float32)
        self.reward = np.zeros(capacity, np.float32)
        self.cost = np.zeros((capacity, *fields["cost_terms"][0].shape), np.float32)
        self.terminated = np.zeros(capacity, bool)
        self.truncated = np.zeros(capacity, bool)
        self.rows = 0
        """Rows ever added; row number n lies in slot n % capacity."""
        self.transitions = 0
        """Transitions that can be sampled now."""
        self.not_finite = 0
        """Rows ever refused because a number in them was NaN or infinite."""
        self.not_pictured = 0
        """And because their pictures were not in the frames' file, or damaged."""
        self._valid = np.zeros(capacity, bool)
        self._next, self._previous = np.arange(capacity), np.arange(capacity)
        self.frames = frames
        self._stack = 1 if frames is None else frames.stack
        self._reach = np.zeros(capacity, np.int16)
        """How many frames in a row are here up to this one's, ``_stack`` at most."""
        self._needed = np.ones(capacity, np.int16)
        """And how many its stack is of: at the start of an episode the first is repeated."""
        self._tails: dict[str, _Tail] = {}

    @property
    def size(self) -> int:
        return min(self.rows, self.capacity)

    def add(
        self,
        session: str,
        rows: NDArray[np.void],
        acts: Bool | None = None,
        pictures: NDArray[np.void] | None = None,
    ) -> None:
        """Append rows of one session in the order they were made; dtype ``step_dtype(contract)``, shape (n,).

        ``acts`` (n,): which rows' actions are to be learned from here; the others only serve as successors.
        ``pictures`` (n,): theirs, of the frames' dtype. Without them they are looked up in the frames' file,
        where an earlier process put them; rows whose pictures are not there whole take part in nothing.
        """
        acts = np.ones(len(rows), bool) if acts is None else acts
        for start in range(0, len(rows), self.capacity):
            part = slice(start, start + self.capacity)
            self._add(session, rows[part], acts[part], None if pictures is None else pictures[part])

    def _add(
        self, session: str, rows: NDArray[np.void], acts: Bool, pictures: NDArray[np.void] | None
    ) -> None:
        numbers = self.rows + np.arange(len(rows))
        slots = numbers % self.capacity
        self._forget(slots)
        pictured = self._keep_pictures(numbers, pictures)
        self.observation[slots] = rows["observation"]
        self.action[slots] = rows["action"]
        self.reward[slots] = rows["reward"]
        self.cost[slots] = rows["cost_terms"]
        self.terminated[slots] = rows["terminated"]
        self.truncated[slots] = rows["truncated"]
        self.rows += len(rows)

        finite = np.isfinite(rows["action"]).all(1) & np.isfinite(rows["reward"])
        finite &= np.isfinite(rows["cost_terms"]).all(1)
        sound = np.isfinite(rows["observation"]).all(1)
        self.not_finite += int(np.count_nonzero(~(sound & (finite | rows["last"]))))
        self.not_pictured += int(np.count_nonzero(~pictured))
        sound &= pictured
        has_action = acts & ~rows["last"] & sound & finite
        self._next[slots] = self._previous[slots] = slots

        succeeds = (
            (rows["episode"][1:] == rows["episode"][:-1])
            & (rows["step"][1:].astype(np.int64) == rows["step"][:-1].astype(np.int64) + 1)
            & sound[1:]
        )
        self._next[slots[:-1][succeeds]] = slots[1:][succeeds]
        unbroken = succeeds & sound[:-1]
        self._previous[slots[1:][unbroken]] = slots[:-1][unbroken]
        before = 0
        tail = self._tails.get(session)
        if (
            tail is not None
            and tail.number >= self.rows - self.capacity
            and sound[0]
            and tail.goes_on(rows[0])
        ):
            slot = tail.number % self.capacity
            self._next[slot] = slots[0]
            if tail.sound:
                self._previous[slots[0]], before = slot, int(self._reach[slot])
            if tail.has_action and not self._valid[slot] and self._reach[slot] >= self._needed[slot]:
                self._valid[slot] = True
                self.transitions += 1
        self._reach[slots] = np.minimum(_run_lengths(unbroken, before), self._stack)
        self._needed[slots] = np.minimum(rows["step"].astype(np.int64) + 1, self._stack)
        starts = has_action & (rows["terminated"] | np.append(succeeds, False))
        self._valid[slots] = starts & (self._reach[slots] >= self._needed[slots])
        self.transitions += int(np.count_nonzero(self._valid[slots]))
        self._tails[session] = _Tail(int(numbers[-1]), rows[-1].copy(), bool(has_action[-1]), bool(sound[-1]))

    def _forget(self, slots: NDArray[np.int64]) -> None:
        """Nothing starts at these rows any more, nor at those whose stacks have them in."""
        self._end(slots)
        gone = slots
        for distance in range(1, self._stack):
            after = self._next[gone]
            gone = after[after != gone]
            self._reach[gone] = np.minimum(self._reach[gone], distance)
            self._end(gone[self._reach[gone] < self._needed[gone]])

    def _end(self, slots: NDArray[np.int64]) -> None:
        """Nothing starts at these rows any more."""
        self.transitions -= int(np.count_nonzero(self._valid[slots]))
        self._valid[slots] = False

    def _keep_pictures(self, numbers: NDArray[np.int64], pictures: NDArray[np.void] | None) -> Bool:
        """Which rows have pictures, all if there are no cameras."""
        if self.frames is None:
            return np.ones(len(numbers), bool)
        if pictures is None:
            return self.frames.whole(numbers)
        self.frames.write(int(numbers[0]), pictures)
        return np.ones(len(numbers), bool)

    def sample(
        self, count: int, rng: np.random.Generator, steps: int = 1, discount: float = 1.0
    ) -> Transitions:
        """``count`` transitions of ``steps`` steps or fewer, their first rows drawn uniformly and
        independently. Raises SandlotError if there are none."""
        paths = self.paths(self._sample_slots(count, rng), steps)
        first = paths.slots[:, 0]
        return Transitions(
            self.observation[first],
            self.action[first],
            *self._outcome(paths, discount),
            self._costs(paths, discount),
        )

    def sample_chunks(self, count: int, rng: np.random.Generator, steps: int, discount: float) -> Chunks:
        """The same transitions as ``sample`` draws, with all of their actions."""
        paths = self.paths(self._sample_slots(count, rng), steps)
        executed = np.arange(steps) < paths.length[:, None]
        return Chunks(
            self.observation[paths.slots[:, 0]],
            self.action[paths.slots] * executed[..., None],
            paths.length,
            *self._outcome(paths, discount),
        )

    def sample_pictures(
        self, count: int, rng: np.random.Generator, steps: int, discount: float
    ) -> tuple[Transitions, Pictures, Pictures]:
        """The same transitions as ``sample`` draws, and the pictures at their first and next rows."""
        paths = self.paths(self._sample_slots(count, rng), steps)
        first = paths.slots[:, 0]
        transitions = Transitions(
            self.observation[first],
            self.action[first],
            *self._outcome(paths, discount),
            self._costs(paths, discount),
        )
        return transitions, self._pictures(first), self._pictures(self._next[paths.slots[:, -1]])

    def _pictures(self, at: NDArray[np.int64]) -> Pictures:
        if self.frames is None:
            return ()
        slots = np.empty((len(at), self._stack), np.int64)
        for k in reversed(range(self._stack)):
            slots[:, k] = at
            at = self._previous[at]
        return self.frames.stacks(slots)

    def paths(self, first: NDArray[np.int64], steps: int) -> Paths:
        """From rows that start transitions, slots (N,), as far as they go."""
        slots = np.empty((len(first), steps), np.int64)
        slots[:, 0] = first
        length = np.ones(len(first), np.int64)
        goes_on = np.ones(len(first), bool)
        for k in range(1, steps):
            at = slots[:, k - 1]
            after = self._next[at]
            goes_on &= ~(self.terminated[at] | self.truncated[at]) & self._valid[after]
            slots[:, k] = np.where(goes_on, after, at)
            length += goes_on
        return Paths(slots, length)

    def _outcome(
        self, paths: Paths, discount: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Reward, discount and next observation as in ``Transitions``."""
        slots, length = paths
        last = slots[:, -1]
        reward = (_weights(paths, discount) * self.reward[slots]).sum(1)
        bootstrap = np.where(self.terminated[last], 0.0, np.power(discount, length))
        return (
            reward.astype(np.float32),
            bootstrap.astype(np.float32),
            self.observation[self._next[last]],
        )

    def _costs(self, paths: Paths, discount: float) -> NDArray[np.float32]:
        summed: NDArray[np.float64] = (_weights(paths, discount)[..., None] * self.cost[paths.slots]).sum(1)
        return summed.astype(np.float32)

    def _sample_slots(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        if self.transitions == 0:
            raise SandlotError(
                f"nothing to sample: {self.rows} rows have arrived and none starts a transition; "
                "two consecutive steps of one episode are needed"
            )
        if 8 * self.transitions < self.size:  # so sparse that rejection would be slow
            return rng.choice(np.flatnonzero(self._valid), count)
        slots = rng.integers(0, self.size, count)
        while (missed := np.flatnonzero(~self._valid[slots])).size:
            slots[missed] = rng.integers(0, self.size, missed.size)
        return slots


def _weights(paths: Paths, discount: float) -> NDArray[np.float64]:
    """1, g, g^2, ... for a path's steps, 0 after its end, (N, n)."""
    steps = np.arange(paths.slots.shape[1])
    return np.where(steps < paths.length[:, None], np.power(discount, steps), 0.0)


class _Tail(NamedTuple):
    """A session's newest row, whose successor is still to come."""

    number: int
    row: np.void
    has_action: bool
    sound: bool

    def goes_on(self, row: np.void) -> bool:
        """Whether ``row`` is its successor."""
        return bool(self.row["episode"] == row["episode"] and int(self.row["step"]) + 1 == int(row["step"]))


def _run_lengths(unbroken: Bool, before: int) -> NDArray[np.int64]:
    """For each of n rows how many rows there are in an unbroken run up to it, (n,), from where the n - 1
    joints between them are ``unbroken``; ``before``: that of the row that the first one goes on from."""
    number = np.arange(len(unbroken) + 1)
    first = np.maximum.accumulate(np.append(0, np.where(unbroken, 0, number[1:])))
    return number - first + 1 + np.where(first == 0, before, 0)
