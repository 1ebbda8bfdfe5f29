"""Experience as it came: step rows in a ring, and which of them are transitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robot.errors import SandlotError

Bool = NDArray[np.bool_]


class Transitions(NamedTuple):
    """From each of N rows as far as its path goes: k steps, n of them or fewer. Float32 arrays."""

    observation: NDArray[np.float32]  # (N, O)
    action: NDArray[np.float32]  # (N, A), of the first step
    reward: NDArray[np.float32]  # (N,): r_0 + g r_1 + ... + g^(k - 1) r_(k - 1)
    discount: NDArray[np.float32]  # (N,), of the value that comes next: g^k, or 0 after a termination
    next_observation: NDArray[np.float32]  # (N, O), after k steps; anything where the discount is 0


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
    """

    def __init__(self, dtype: np.dtype[np.void], capacity: int) -> None:
        fields: Mapping[str, Any] = dtype.fields or {}
        self.capacity = capacity
        self.observation = np.zeros((capacity, *fields["observation"][0].shape), np.float32)
        self.action = np.zeros((capacity, *fields["action"][0].shape), np.float32)
        self.reward = np.zeros(capacity, np.float32)
        self.terminated = np.zeros(capacity, bool)
        self.truncated = np.zeros(capacity, bool)
        self.rows = 0
        """Rows ever added; row number n lies in slot n % capacity."""
        self.transitions = 0
        """Transitions that can be sampled now."""
        self.not_finite = 0
        """Rows ever refused because a number in them was NaN or infinite."""
        self._valid = np.zeros(capacity, bool)
        self._next = np.zeros(capacity, np.int64)
        self._tails: dict[str, tuple[int, np.void, bool]] = {}

    @property
    def size(self) -> int:
        return min(self.rows, self.capacity)

    def add(self, session: str, rows: NDArray[np.void], acts: Bool | None = None) -> None:
        """Append rows of one session in the order they were made; dtype ``step_dtype(contract)``, shape (n,).

        ``acts`` (n,): which rows' actions are to be learned from here; the others only serve as successors.
        """
        acts = np.ones(len(rows), bool) if acts is None else acts
        for start in range(0, len(rows), self.capacity):
            self._add(session, rows[start : start + self.capacity], acts[start : start + self.capacity])

    def _add(self, session: str, rows: NDArray[np.void], acts: Bool) -> None:
        numbers = self.rows + np.arange(len(rows))
        slots = numbers % self.capacity
        self.transitions -= int(np.count_nonzero(self._valid[slots]))
        self.observation[slots] = rows["observation"]
        self.action[slots] = rows["action"]
        self.reward[slots] = rows["reward"]
        self.terminated[slots] = rows["terminated"]
        self.truncated[slots] = rows["truncated"]
        self.rows += len(rows)

        finite = np.isfinite(rows["action"]).all(1) & np.isfinite(rows["reward"])
        sound = np.isfinite(rows["observation"]).all(1)
        self.not_finite += int(np.count_nonzero(~(sound & (finite | rows["last"]))))
        has_action = acts & ~rows["last"] & sound & finite
        self._valid[slots] = has_action & rows["terminated"]
        self._next[slots] = slots

        succeeds = (
            (rows["episode"][1:] == rows["episode"][:-1])
            & (rows["step"][1:].astype(np.int64) == rows["step"][:-1].astype(np.int64) + 1)
            & sound[1:]
        )
        linked = has_action[:-1] & succeeds
        self._valid[slots[:-1][linked]] = True
        self._next[slots[:-1][succeeds]] = slots[1:][succeeds]
        if session in self._tails:
            number, tail, tail_has_action = self._tails[session]
            alive = number >= self.rows - self.capacity
            follows = tail["episode"] == rows[0]["episode"] and int(tail["step"]) + 1 == int(rows[0]["step"])
            if alive and follows and sound[0]:
                slot = number % self.capacity
                self._next[slot] = slots[0]
                if tail_has_action and not self._valid[slot]:
                    self._valid[slot] = True
                    self.transitions += 1
        self.transitions += int(np.count_nonzero(self._valid[slots]))
        self._tails[session] = (int(numbers[-1]), rows[-1].copy(), bool(has_action[-1]))

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
        steps, last = np.arange(slots.shape[1]), slots[:, -1]
        weights = np.where(steps < length[:, None], np.power(discount, steps), 0.0)
        reward = (weights * self.reward[slots]).sum(1)
        bootstrap = np.where(self.terminated[last], 0.0, np.power(discount, length))
        return (
            reward.astype(np.float32),
            bootstrap.astype(np.float32),
            self.observation[self._next[last]],
        )

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
