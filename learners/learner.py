"""The learner: rows of experience in, better policies out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from learners.algorithm import Constrained, Growing, make_algorithm
from learners.checkpoint import as_json, from_json, read_checkpoint, write_checkpoint
from learners.config import OF_THE_MACHINE, LearnerConfig
from learners.critic_health import Assessable, CriticHealth
from learners.initial_networks import begin_with
from learners.lagrangian import Multipliers
from learners.offline_config import AlgorithmConfig
from learners.pacing import Pacing
from learners.prior_data import Experience
from learners.range_growth import WHOLE, GrowingRange
from learners.sac import Batch, Sac
from robot.contract import TaskContract
from robot.errors import ContractMismatchError, SandlotError
from robot.plain_data import differences


class Learner:
    """An algorithm at a held update-to-data ratio: deterministic from its seed, the rows and their order.

    No threads, no clock, no files but those it is asked for: the caller decides when to learn.
    ``learner.add(...)``, then ``learner.step()`` as long as ``learner.due()``; with a replay of one's own
    ``learner.update(batch)`` whenever one likes.
    """

    def __init__(
        self,
        contract: TaskContract,
        config: AlgorithmConfig,
        seed: int,
        calibration_hash: str = "",
        frames: Path | None = None,
        encoder: Path | None = None,
    ) -> None:
        """``frames``: a folder for the pictures of a contract with images (``frames.py``); they are not in a
        checkpoint either. None keeps them in memory: nothing can be resumed then. ``encoder``: a copy of the
        checkpoint that DrQ's ``config.encoder`` names, read in its place. The whole process's torch works
        with one thread from here on; ``config.threads`` are the engine's."""
        torch.set_num_threads(1)  # the engine has its own threads; torch's spin, and cost a robot its time
        self.contract = contract
        self.config = config
        self.seed = seed
        """Of everything random in it."""
        self.calibration_hash = calibration_hash
        actor_seed, sample_seed = np.random.SeedSequence(seed).spawn(2)
        algorithm_seed = int(actor_seed.generate_state(1, np.uint64)[0] >> np.uint64(1))
        begun = config if encoder is None else msgspec.structs.replace(config, encoder=str(encoder))
        self.algorithm = make_algorithm(contract, begun, algorithm_seed)
        self.rng = np.random.default_rng(sample_seed)
        self.experience = Experience(contract, config, frames)
        self.pacing = Pacing(config.updates_per_step, config.warmup, config.backlog)
        self.pretrained = 0
        """Update steps made by ``pretrain``, over and above the held ratio."""
        self.health = CriticHealth(seed)
        constraints = config.constraints if isinstance(config, LearnerConfig) else ()
        self.multipliers = Multipliers(contract, constraints)
        self.range = GrowingRange(config.growth if isinstance(config, LearnerConfig) else WHOLE)
        self.metrics: dict[str, float] = {}
        """Of the last update step, and of the last look at the critics."""

    @property
    def updates(self) -> int:
        """Critic updates ever made."""
        return (self.pacing.done + self.pretrained) * self.config.updates_per_step

    @property
    def slow(self) -> str | None:
        """A line for a person if updates are slower than they could be on this machine."""
        return self.algorithm.slow

    @property
    def noise_size(self) -> int:
        """Standard normal numbers that one stochastic action takes."""
        return self.algorithm.noise_size

    @property
    def alarm(self) -> str:
        """What is wrong with the critics, for a person; empty if nothing is."""
        return self.health.alarm

    @property
    def ready(self) -> bool:
        """The warm-up is over and there is something to learn from."""
        return self.pacing.received >= self.config.warmup and self.experience.transitions > 0

    def add(self, session: str, rows: NDArray[np.void], pictures: NDArray[np.void] | None = None) -> None:
        """Take rows of one session, in order and each once; dtype ``contract.step_dtype()``, shape (n,).
        ``pictures``: what the cameras saw at each, dtype ``contract.frame_dtype()``, (n,), the first time."""
        self.experience.add(session, rows, pictures)
        self.multipliers.add(session, rows)
        self.range.add(rows)
        if isinstance(self.algorithm, Growing):
            self.algorithm.action_share = self.range.share
        self.pacing.received = self.experience.steps

    def due(self) -> int:
        """Update steps owed for the data so far."""
        return self.pacing.due() if self.ready else 0

    def step(self) -> dict[str, float]:
        """One environment step's worth of learning: G critic updates, one of the actor and temperature (DrQ,
        BC, IQL and IDQL: of all they have with each of the G minibatches).

        Returns metrics. Raises SandlotError before ``ready``.
        """
        if not self.ready:
            raise SandlotError(
                f"nothing to learn from yet: {self.pacing.received} steps of {self.config.warmup} and "
                f"{self.experience.transitions} transitions have arrived; wait for `ready`"
            )
        self._learn(self.experience.batch(self.rng))
        self.pacing.done += 1
        return self.metrics

    def pretrain(self, steps: int) -> dict[str, float]:
        """Make update steps on what is there (demonstrations), not counted against the held ratio."""
        for _ in range(steps):
            self.update(self.experience.batch(self.rng))
        return self.metrics

    def update(self, batch: Batch) -> dict[str, float]:
        """Learn from G minibatches of the caller's own, as much as in ``step``, not counted against the held
        ratio. Returns metrics. Raises SandlotError if the minibatches have not the size that was configured,
        or lack the costs that there are constraints on."""
        self._learn(batch)
        self.pretrained += 1
        return self.metrics

    def _learn(self, batch: Batch) -> None:
        if isinstance(self.algorithm, Constrained):
            self.algorithm.multipliers = self.multipliers.values
        found = self.algorithm.update(batch)
        self.metrics = self.metrics | found | self.multipliers.metrics | self.range.metrics
        steps = self.pacing.done + self.pretrained
        # What values can be is known from rows only: of a caller's own batches there are none.
        if isinstance(self.algorithm, Assessable) and self.experience.transitions:
            self.metrics |= self.health.look(self.algorithm, self.experience, self.metrics, steps)

    def act(
        self,
        observation: NDArray[np.float32],
        noise: NDArray[np.float32] | None = None,
        images: tuple[NDArray[np.uint8], ...] = (),
    ) -> NDArray[np.float32]:
        """The published actor's raw action in [-1, 1], (A,), as the exported file's. ``observation``: in
        physical units, (O,); ``noise``: standard normal, (noise_size,), or None for the deterministic policy;
        ``images``: what each camera saw, (stack, height, width, channels).

        Raises SandlotError if learning has diverged.
        """
        drawn = np.zeros(self.noise_size, np.float32) if noise is None else noise
        seen = tuple(torch.from_numpy(stack)[None] for stack in images)
        raw = self.algorithm.act(torch.from_numpy(observation)[None], torch.from_numpy(drawn)[None], seen)[0]
        if not torch.isfinite(raw).all():
            self._diverged()
        action: NDArray[np.float32] = raw.numpy()
        return action

    def _diverged(self) -> NoReturn:
        raise SandlotError(
            f"the actor is not finite after {self.updates} updates: learning has diverged. The last "
            "checkpoint is from before that; begin a new run with a lower learning_rate"
        )

    def export(self, version: int) -> bytes:
        """The current actor as an ONNX file. Raises SandlotError if learning has diverged."""
        if not self.algorithm.finite():
            self._diverged()
        return self.algorithm.export(self.calibration_hash, version)

    def begin_with(self, path: Path) -> None:
        """Take over actor and critics of IQL, or the actor of BC, from a checkpoint, a folder of them or a
        run's folder. Raises SandlotError if this learner or that one is not of the kind, and
        ContractMismatchError if they do not fit (``initial_networks``)."""
        if not isinstance(self.algorithm, Sac):
            raise SandlotError(
                f"{path}: networks to begin with are for rlpd and its relatives; this learner's settings are "
                f"{type(self.config).__name__}"
            )
        begin_with(self.algorithm, msgspec.to_builtins(self.config), path)

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """A copy of everything that updates change: networks, optimisers, the generator of noise. What has
        been counted and where sampling stands is in a checkpoint only (``save``)."""
        return {name: array.copy() for name, array in self.algorithm.arrays().items()}

    def load_state_dict(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``state_dict`` gave, of a learner with the same contract and settings. Raises
        ContractMismatchError if names or shapes are others, and changes nothing then."""
        ours, theirs = (
            {name: (array.shape, str(array.dtype)) for name, array in found.items()}
            for found in (self.algorithm.arrays(), state)
        )
        lines = differences(ours, theirs)
        if lines:
            raise ContractMismatchError(
                "the state is of a learner with another contract or other settings:\n  "
                + "\n  ".join(lines[:20])
            )
        self.algorithm.restore(state)

    def save(self, directory: Path, notes: dict[str, Any] | None = None) -> Path:
        """Write a checkpoint atomically; the last two are kept. ``notes``: the caller's own plain data,
        such as where its journal stood. Rows are not in it: the journal has them. Raises SandlotError if
        learning has diverged: what was kept before stays."""
        if not self.algorithm.finite():
            self._diverged()
        plain = {
            "contract": self.contract.plain(),
            "config": msgspec.to_builtins(self.config),
            "calibration_hash": self.calibration_hash,
            "steps": self.experience.steps,
            "done": self.pacing.done,
            "given_up": self.pacing.given_up,
            "pretrained": self.pretrained,
            "metrics": {name: as_json(value) for name, value in self.metrics.items()},
            "health": self.health.plain(),
            "rng": _plain_state(self.rng),
            "notes": notes or {},
        }
        self.experience.sync()
        return write_checkpoint(directory, self.updates, self.algorithm.arrays(), plain)

    def load(self, path: Path) -> dict[str, Any]:
        """Continue from a checkpoint (a file, or the newest whole one in a directory); returns its ``notes``.

        Add the same rows in the same order as before the checkpoint, before or after this call; from there
        on everything is as if there had been no interruption. Raises SandlotError if there is no whole
        checkpoint, ContractMismatchError if it belongs to another contract or other settings.
        """
        arrays, plain = read_checkpoint(path)
        theirs = {name: value for name, value in plain["config"].items() if name not in OF_THE_MACHINE}
        lines = differences(
            {"contract": self.contract.plain(), "config": self.config.of_what_is_learned()},
            {"contract": plain["contract"], "config": theirs},
        )
        if lines:
            raise ContractMismatchError(
                f"{path} was made with another contract or other settings; go on with those, or begin in a "
                "folder of its own:\n  " + "\n  ".join(lines[:20])
            )
        self.algorithm.restore(arrays)
        self.pacing.done, self.pacing.given_up = plain["done"], plain["given_up"]
        self.pretrained = plain["pretrained"]
        self.metrics = {name: from_json(value) for name, value in plain["metrics"].items()}
        self.health.restore(plain["health"])
        self.rng.bit_generator.state = _restore_state(plain["rng"])
        notes: dict[str, Any] = plain["notes"]
        return notes


def _plain_state(rng: np.random.Generator) -> dict[str, Any]:
    """PCG64's state with its 128-bit integers as text: JSON numbers end at 64 bits."""
    state: dict[str, Any] = dict(rng.bit_generator.state)
    return state | {"state": {key: str(value) for key, value in state["state"].items()}}


def _restore_state(plain: dict[str, Any]) -> dict[str, Any]:
    return plain | {"state": {key: int(value) for key, value in plain["state"].items()}}
