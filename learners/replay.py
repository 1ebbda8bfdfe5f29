"""Experience as it came: step rows in a ring, and which of them are transitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robot.errors import SandlotError

Bool = NDArray[np.bool_]


class Transitions(NamedTuple):
    """Float32 arrays with one leading dimension N."""

    observation: NDArray[np.float32]  # (N, O)
    action: NDArray[np.float32]  # (N, A)
    reward: NDArray[np.float32]  # (N,)
    mask: NDArray[np.float32]  # (N,): 0 after a termination, else 1
    next_observation: NDArray[np.float32]  # (N, O)


class Replay:
    """The newest ``capacity`` rows of any number of interleaved sessions, each row stored once.

    Row i starts a transition once its successor (same session and episode, next ``step``) has arrived, or at
    once if it terminated: its next observation then does not matter. Rows that are ``last``, not finite, or
    not acted by someone this replay learns from never start one. A successor always arrives later, hence is
    always overwritten later: a transition disappears with its first row.
    """

    def __init__(self, dtype: np.dtype[np.void], capacity: int) -> None:
        fields: Mapping[str, Any] = dtype.fields or {}
        self.capacity = capacity
        self.observation = np.zeros((capacity, *fields["observation"][0].shape), np.float32)
        self.action = np.zeros((capacity, *fields["action"][0].shape), np.float32)
        self.reward = np.zeros(capacity, np.float32)
        self.terminated = np.zeros(capacity, bool)
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

    def sample(self, count: int, rng: np.random.Generator) -> Transitions:
        """``count`` transitions, uniformly and independently. Raises SandlotError if there are none."""
        slots = self._sample_slots(count, rng)
        return Transitions(
            self.observation[slots],
            self.action[slots],
            self.reward[slots],
            (~self.terminated[slots]).astype(np.float32),
            self.observation[self._next[slots]],
        )

    def _sample_slots(self, count: int, rng: np.random.Generator) -> NDArray[Any]:
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
