"""Practice and prior data, and RLPD's symmetric sampling from the two."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from learners.config import CommonConfig
from learners.held_out import SHARE_OF_CAPACITY, held_out_rows
from learners.replay import Replay
from learners.sac import Batch
from learners.value_bound import RewardRange
from robot.contract import TaskContract
from robot.errors import SandlotError
from robot.messages import Actor

_NONE, _PRACTICE, _PRIOR, _HELD_OUT = range(4)
"""What becomes of a row's action."""
PRIOR_ACTORS = (int(Actor.HUMAN), int(Actor.SCRIPT))
"""Whose steps are demonstrations. They go to the prior data only, the policy's to the practice data only."""


class Experience:
    """All that is learned from: what the policy did (practice), and what others showed it (prior). And what
    is not: episodes of both that are held out."""

    def __init__(self, contract: TaskContract, config: CommonConfig) -> None:
        self.dtype = contract.step_dtype()
        self.config = config
        self.practice = Replay(self.dtype, config.capacity)
        self.prior = Replay(self.dtype, config.prior_capacity)
        self.held_out = Replay(self.dtype, max(2, round(SHARE_OF_CAPACITY * config.capacity)))
        self.rewards = RewardRange()
        self.steps = 0
        """Environment steps ever added: rows with an action."""
        self._tails: dict[str, int] = {}

    @property
    def transitions(self) -> int:
        return self.practice.transitions + self.prior.transitions

    def add(self, session: str, rows: NDArray[np.void]) -> None:
        """Append rows of one session in order. Raises SandlotError if they are not rows of this contract."""
        if rows.dtype != self.dtype:
            raise SandlotError(
                f"rows of session {session!r} have dtype {rows.dtype}; this contract's are {self.dtype}. "
                "The robot and the learner were started with different tasks or versions."
            )
        if not len(rows):
            return
        self.steps += int(np.count_nonzero(~rows["last"]))
        kind = self._kinds(session, rows)
        before = np.concatenate([[self._tails.get(session, _NONE)], kind[:-1]])
        self._tails[session] = int(kind[-1])
        for number, replay in (
            (_PRACTICE, self.practice),
            (_PRIOR, self.prior),
            (_HELD_OUT, self.held_out),
        ):
            # A row that is learned from elsewhere still completes the transition before it.
            acts, completes = kind == number, before == number
            keep = acts | completes
            if keep.any():
                replay.add(session, rows[keep], acts[keep])
        acted = (kind != _NONE) & ~rows["last"]
        self.rewards.add(rows["reward"][acted], rows["terminated"][acted])

    def _kinds(self, session: str, rows: NDArray[np.void]) -> NDArray[np.int64]:
        actor = rows["actor"]
        kind = np.where(actor == int(Actor.POLICY), _PRACTICE, _NONE)
        kind[np.isin(actor, PRIOR_ACTORS)] = _PRIOR
        kind[(kind != _NONE) & held_out_rows(session, rows, self.config.held_out)] = _HELD_OUT
        return kind

    def batch(self, rng: np.random.Generator) -> Batch:
        """G minibatches, each with exactly the configured share of prior data; all of one kind if there is
        no other: without prior data this is plain SAC. Raises SandlotError if there is nothing at all."""
        updates, size = self.config.updates_per_step, self.config.batch
        from_prior = self.config.prior_batch
        if self.prior.transitions == 0:
            from_prior = 0
        elif self.practice.transitions == 0:
            from_prior = size
        parts = []
        for replay, count in ((self.practice, size - from_prior), (self.prior, from_prior)):
            if count:
                drawn = replay.sample(updates * count, rng)
                parts.append([a.reshape(updates, count, *a.shape[1:]) for a in drawn])
        # Each minibatch has its share of each kind; where in it they stand does not matter.
        return Batch(*(torch.from_numpy(np.concatenate(kinds, 1)) for kinds in zip(*parts, strict=True)))

    def held_out_batch(self, rng: np.random.Generator) -> Batch | None:
        """One minibatch of what is never trained on; None if there is nothing of the kind yet."""
        if self.held_out.transitions == 0:
            return None
        drawn = self.held_out.sample(self.config.batch, rng)
        return Batch(*(torch.from_numpy(a[None]) for a in drawn))
