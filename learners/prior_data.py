"""Practice and prior data, and RLPD's symmetric sampling from the two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.config import CommonConfig
from learners.frames import Frames
from learners.replay import Pictures, Replay, Transitions
from learners.sac import Batch
from robot.contract import TaskContract
from robot.errors import SandlotError
from robot.messages import Actor

PRIOR_ACTORS = (int(Actor.HUMAN), int(Actor.SCRIPT))
"""Whose steps are demonstrations. They go to the prior data only, the policy's to the practice data only."""


class ChunkBatch(NamedTuple):
    """G minibatches of B action chunks of n steps (``replay.Chunks``)."""

    observation: Tensor  # (G, B, O)
    action: Tensor  # (G, B, n, A)
    length: Tensor  # (G, B)
    reward: Tensor  # (G, B)
    discount: Tensor  # (G, B)
    next_observation: Tensor  # (G, B, O)


class Experience:
    """All that is learned from: what the policy did (practice), and what others showed it (prior)."""

    def __init__(self, contract: TaskContract, config: CommonConfig, frames: Path | None = None) -> None:
        """``frames``: a folder for the pictures of a contract with images; None keeps them in memory."""
        self.dtype = contract.step_dtype()
        self.config = config
        self.practice, self.prior = (
            Replay(self.dtype, capacity, _pictures(contract, capacity, frames, name))
            for name, capacity in (("practice", config.capacity), ("prior", config.prior_capacity))
        )
        self._pictures_needed = bool(contract.images) and frames is None
        self.steps = 0
        """Environment steps ever added: rows with an action."""
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
        actor = rows["actor"]
        before = np.concatenate([[self._tails.get(session, 0)], actor[:-1]])
        self._tails[session] = int(actor[-1])
        for replay, actors in ((self.practice, (int(Actor.POLICY),)), (self.prior, PRIOR_ACTORS)):
            # A row that somebody else acted still completes the transition before it.
            acts, completes = np.isin(actor, actors), np.isin(before, actors)
            keep = acts | completes
            if keep.any():
                replay.add(session, rows[keep], acts[keep], None if pictures is None else pictures[keep])

    def batch(self, rng: np.random.Generator) -> Batch:
        """G minibatches, each with exactly the configured share of prior data; all of one kind if there is
        no other: without prior data this is plain SAC. Raises SandlotError if there is nothing at all."""
        steps, discount = self.config.n_step, self.config.discount
        if self.practice.frames is None:
            return Batch(*self._draw(lambda replay, count: replay.sample(count, rng, steps, discount)))
        found = self._draw(lambda replay, count: _flat(replay.sample_pictures(count, rng, steps, discount)))
        cameras = (len(found) - 5) // 2
        now, then = tuple(found[5 : 5 + cameras]), tuple(found[5 + cameras :])
        return Batch(*found[:5])._replace(images=now, next_images=then)

    def sync(self) -> None:
        """Return once all pictures are on the disk."""
        for replay in (self.practice, self.prior):
            if replay.frames is not None:
                replay.frames.sync()

    def chunks(self, rng: np.random.Generator, steps: int) -> ChunkBatch:
        """The same with the actions of ``steps`` steps each, whatever ``n_step`` is."""
        discount = self.config.discount
        return ChunkBatch(
            *self._draw(lambda replay, count: replay.sample_chunks(count, rng, steps, discount))
        )

    def _draw(self, sample: Callable[[Replay, int], tuple[NDArray[Any], ...]]) -> list[Tensor]:
        """Arrays (N, ...) of both kinds as tensors (G, B, ...)."""
        updates, size = self.config.updates_per_step, self.config.batch
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


def _pictures(contract: TaskContract, capacity: int, folder: Path | None, name: str) -> Frames | None:
    if not contract.images:
        return None
    return Frames(contract.images, capacity, None if folder is None else folder / f"{name}.frames")


def _flat(found: tuple[Transitions, Pictures, Pictures]) -> tuple[NDArray[Any], ...]:
    transitions, now, then = found
    return (*transitions, *now, *then)
