"""Practice and prior data, and RLPD's symmetric sampling from the two, or uniform sampling from both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.config import CommonConfig
from learners.frames import Frames
from learners.held_out import SHARE_OF_CAPACITY, HeldOut
from learners.replay import Replay, Transitions
from learners.sac import Batch
from learners.value_bound import RewardRange
from robot.contract import TaskContract
from robot.errors import SandlotError
from robot.messages import Actor

_NONE, _PRACTICE, _PRIOR, _HELD_OUT = range(4)
"""What becomes of a row's action."""
PRIOR_ACTORS = (int(Actor.HUMAN), int(Actor.SCRIPT))
"""Whose steps are demonstrations. They go to the prior data only, the policy's to the practice data only."""

LEAST_HELD_OUT: Final = 20
"""Transitions by which somebody is judged: those of an episode's first steps are all alike, and the error
divided by their little variance is hundreds of times too large."""


class ChunkBatch(NamedTuple):
    """G minibatches of B action chunks of n steps (``replay.Chunks``)."""

    observation: Tensor  # (G, B, O)
    action: Tensor  # (G, B, n, A)
    length: Tensor  # (G, B)
    reward: Tensor  # (G, B)
    discount: Tensor  # (G, B)
    next_observation: Tensor  # (G, B, O)


class Experience:
    """All that is learned from: what the policy did (practice), and what others showed it (prior). And what
    is not: episodes of both that are held out."""

    def __init__(self, contract: TaskContract, config: CommonConfig, frames: Path | None = None) -> None:
        """``frames``: a folder for the pictures of a contract with images; None keeps them in memory."""
        self.dtype = contract.step_dtype()
        self.config = config
        room = {
            "practice": config.capacity,
            "prior": config.prior_capacity,
            "held_out": max(2, round(SHARE_OF_CAPACITY * config.capacity)),
        }
        self.practice, self.prior, self.held_out = (
            Replay(self.dtype, capacity, _pictures(contract, capacity, frames, name))
            for name, capacity in room.items()
        )
        self.rewards = RewardRange()
        """Of all rewards that came, as they are learned."""
        self._pictures_needed = bool(contract.images) and frames is None
        self.steps = 0
        """Environment steps ever added: rows with an action."""
        self._held_out = HeldOut(config.held_out)
        self._tails: dict[str, int] = {}

    @property
    def transitions(self) -> int:
        return self.practice.transitions + self.prior.transitions

    def add(self, session: str, rows: NDArray[np.void], pictures: NDArray[np.void] | None = None) -> None:
        """Append rows of one session in order, with their pictures if there are cameras; without, they
        are looked up in the folder. Raises SandlotError if they are not rows of this contract."""
        if rows.dtype != self.dtype:
            raise SandlotError(
                f"rows of session {session!r} have dtype {rows.dtype}; this contract's are {self.dtype}. "
                "The robot and the learner were started with different tasks or versions."
            )
        if self._pictures_needed and pictures is None:
            raise SandlotError(
                f"rows of session {session!r} came without pictures, and there is no folder to find them in; "
                "give them with the rows"
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
                replay.add(session, rows[keep], acts[keep], None if pictures is None else pictures[keep])
        acted = (kind != _NONE) & ~rows["last"]
        self.rewards.add(self.config.learned_reward(rows["reward"][acted]), rows["terminated"][acted])

    def _kinds(self, session: str, rows: NDArray[np.void]) -> NDArray[np.int64]:
        actor = rows["actor"]
        practised = (actor == int(Actor.POLICY)) & (not self.config.prior_only)
        kind = np.where(practised, _PRACTICE, _NONE)
        # What a person asked for and no action says, or safety held back, is not what is to be imitated; a
        # policy learns what comes of what it asks for.
        kind[np.isin(actor, PRIOR_ACTORS) & ~rows["altered"]] = _PRIOR
        kind[(kind != _NONE) & self._held_out.rows(session, rows)] = _HELD_OUT
        return kind

    def batch(self, rng: np.random.Generator) -> Batch:
        """G minibatches, each with exactly the configured share of prior data, or without ``symmetric`` with
        whatever of it is drawn; all of one kind if there is no other: without prior data this is plain SAC.
        Raises SandlotError if there is nothing at all."""
        return _batch(self._draw(lambda replay, count: self._sample(replay, count, rng), rng))

    def held_out_batch(self, rng: np.random.Generator) -> Batch | None:
        """One minibatch of what is never trained on; None while there is too little of the kind."""
        if self.held_out.transitions < LEAST_HELD_OUT:
            return None
        drawn = self._sample(self.held_out, self.config.batch, rng)
        return _batch([torch.from_numpy(a[None]) for a in drawn])

    def _sample(self, replay: Replay, count: int, rng: np.random.Generator) -> tuple[NDArray[Any], ...]:
        steps, discount = self.config.n_step, self.config.discount
        if replay.frames is None:
            return replay.sample(count, rng, steps, discount)
        transitions, now, then = replay.sample_pictures(count, rng, steps, discount)
        return (*transitions, *now, *then)

    def sync(self) -> None:
        """Return once all pictures are on the disk."""
        for replay in (self.practice, self.prior, self.held_out):
            if replay.frames is not None:
                replay.frames.sync()

    def chunks(self, rng: np.random.Generator, steps: int) -> ChunkBatch:
        """The same with the actions of ``steps`` steps each, whatever ``n_step`` is."""
        discount = self.config.discount
        return ChunkBatch(
            *self._draw(lambda replay, count: replay.sample_chunks(count, rng, steps, discount), rng)
        )

    def _draw(
        self, sample: Callable[[Replay, int], tuple[NDArray[Any], ...]], rng: np.random.Generator
    ) -> list[Tensor]:
        """Arrays (N, ...) of both kinds as tensors (G, B, ...)."""
        updates, size = self.config.updates_per_step, self.config.batch
        if not self.config.symmetric and self.prior.transitions and self.practice.transitions:
            return self._pooled(sample, rng)
        from_prior = self.config.prior_batch
        if self.prior.transitions == 0:
            from_prior = 0
        elif self.practice.transitions == 0:
            from_prior = size
        parts = []
        for replay, count in ((self.practice, size - from_prior), (self.prior, from_prior)):
            if count:
                drawn = sample(replay, updates * count)
                parts.append([a.reshape(updates, count, *a.shape[1:]) for a in drawn])
        # Each minibatch has its share of each kind; where in it they stand does not matter.
        return [torch.from_numpy(np.concatenate(kinds, 1)) for kinds in zip(*parts, strict=True)]

    def _pooled(
        self, sample: Callable[[Replay, int], tuple[NDArray[Any], ...]], rng: np.random.Generator
    ) -> list[Tensor]:
        """Of the two kinds as if they were one: how many of each there are is binomial."""
        updates, size = self.config.updates_per_step, self.config.batch
        shown = int(rng.binomial(updates * size, self.prior.transitions / self.transitions))
        kinds = ((self.practice, updates * size - shown), (self.prior, shown))
        drawn = [sample(replay, count) for replay, count in kinds if count]
        order = rng.permutation(updates * size)
        pooled = (np.concatenate(parts)[order] for parts in zip(*drawn, strict=True))
        return [torch.from_numpy(a.reshape(updates, size, *a.shape[1:])) for a in pooled]


def _pictures(contract: TaskContract, capacity: int, folder: Path | None, name: str) -> Frames | None:
    if not contract.images:
        return None
    return Frames(contract.images, capacity, None if folder is None else folder / f"{name}.frames")


def _batch(found: list[Tensor]) -> Batch:
    """From the fields of transitions and then the pictures, of now and of then."""
    size = len(Transitions._fields)
    cameras = (len(found) - size) // 2
    now, then = tuple(found[size : size + cameras]), tuple(found[size + cameras :])
    return Batch(*found[:size])._replace(images=now, next_images=then)
