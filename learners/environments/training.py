"""Practise in an environment: the same learner, replay, pacing and export as on a robot, in lockstep; before
that, or instead, learn from prior data alone.

A run is a folder. It can be killed at any moment: run again with the same settings, it goes on from its last
checkpoint, and what comes of it is what would have come of it without the interruption, to the last bit
(times aside), if the environment's episodes depend on nothing but the seed of their reset.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from learners.action_reach import ActionReach
from learners.algorithm import require_device
from learners.checkpoint import as_json, from_json, read_checkpoint
from learners.config import LearnerConfig
from learners.environments.contract import environment_contract
from learners.environments.curve import Point, read_curve, write_curve
from learners.environments.environment import Make
from learners.environments.episodes import Episodes
from learners.environments.evaluation import evaluate
from learners.environments.events import Events
from learners.environments.prior_folder import prior_rows
from learners.environments.run_folder import RunFolder
from learners.environments.settings import TrainingSettings
from learners.journal import Journal
from learners.learner import Learner
from learners.range_growth import WHOLE
from robot.claim import claim
from robot.contract import TaskContract, require_same
from robot.frame_file import write_atomically
from robot.messages import Actor

SESSION: Final = "practice"
METRICS_EVERY: Final = 1_000
"""Steps between two reports of the learner's metrics."""
EPISODE, NOISE, EVALUATION = range(3)
"""What random numbers are for."""


class Training:
    """A run in ``directory``, new or continued: ``run()`` it.

    ``prior``: a folder of journals or ``minari:NAME``, copied into a new run; ``initial``: a run or
    checkpoint whose networks a new run begins with, copied as well, and whose contract it has; the encoder
    that DrQ's settings name is copied, too. ``watch`` is called after every step; ``tell`` gets lines for a
    person. Raises ContractMismatchError if the folder is of a run with other settings, SpecError if a new one
    is to stack pictures that the environment does not show, SandlotError if another process practises there
    or the device that is to learn is not here; nothing stays open or claimed then.
    """

    def __init__(
        self,
        make: Make,
        directory: Path,
        settings: TrainingSettings,
        *,
        prior: Path | None = None,
        initial: Path | None = None,
        watch: Callable[[Training], None] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.settings, self.folder = settings, RunFolder(directory)
        self.steps = self.episodes = 0
        """Begun and finished so far, random ones included."""
        self.last_return = float("nan")
        """Undiscounted, of the newest whole episode of practice."""
        self.last_costs: dict[str, float] = {}
        """Undiscounted, of that episode."""
        self.learner: Learner | None = None
        """None until the random steps are over, or the offline phase begins; from pictures it is there at
        once, and keeps them."""
        self._watch, self._tell = watch, tell or (lambda line: None)
        self._unwritten: list[NDArray[np.void]] = []
        self._checkpointed, self._earlier_s, self._began_s = 0, 0.0, time.monotonic()
        require_device(settings.learner)
        with ExitStack() as opened:
            self._open(opened, make, prior, initial)
            self._opened = opened.pop_all()

    def _open(self, opened: ExitStack, make: Make, prior: Path | None, initial: Path | None) -> None:
        """Everything that ``close`` closes, and what is read from it; if that fails, ``opened`` closes it."""
        settings, folder = self.settings, self.folder
        self._environment = opened.enter_context(closing(make()))
        judged = opened.enter_context(closing(make()))
        self._unmeasured = environment_contract(
            self._environment,
            settings.environment,
            costs=settings.learner.cost_names,
            stack=settings.image_stack,
        )
        self._source = Episodes(self._environment, self._unmeasured, settings.longest_episode)
        self._judged = Episodes(judged, self._unmeasured, settings.longest_episode)
        growth = settings.learner.growth if isinstance(settings.learner, LearnerConfig) else WHOLE
        self._first_reach = ActionReach(self._unmeasured, growth) if growth.restricts else None
        """Of the random steps, where the learner begins with a part of the action range."""
        begun = folder.require(settings)
        if not begun:
            folder.fill(settings, self._unmeasured, prior, initial, self._tell)
        opened.enter_context(claim(folder.journal))
        journal = Journal(folder.journal, self._unmeasured.step_dtype())
        self._journal = opened.enter_context(closing(journal))
        self._prior = list(prior_rows(folder.prior, journal.dtype))
        if folder.has_checkpoint:
            self._continue()
        else:
            if begun:
                self._tell("it has no checkpoint yet, and begins again")
            self._journal.keep(0)
            if folder.initial.exists():
                self.learner = self._begin_learning()
            elif self._unmeasured.images:
                self.learner = self._begin_with(self._unmeasured)
        # Only now: what cannot be learned from or computed with must not stay in a run's settings.
        folder.write_settings(settings)
        self.curve = [point for point in read_curve(folder.curve) if point.step <= self.progress]
        """Every evaluation so far."""
        events = Events(folder.tensorboard, self.progress + 1)
        self._events = opened.enter_context(closing(events))
        if self._events.missing:
            self._tell(self._events.missing)

    @property
    def _practised(self) -> bool:
        """The random steps are over, or there were none."""
        if self._unmeasured.images:
            return self.steps >= self.settings.learner.warmup
        return self.learner is not None

    @property
    def policy(self) -> Path:
        """The ONNX file of the policy that was evaluated last."""
        return self.folder.policy

    @property
    def wall_s(self) -> float:
        """Time spent on the run so far [s]; what a kill undid is not counted."""
        return self._earlier_s + time.monotonic() - self._began_s

    @property
    def episode_over(self) -> bool:
        """Whether the newest step ended an episode."""
        return self._source.over

    @property
    def episode_terminated(self) -> bool:
        """Whether that end was a termination."""
        return self._source.terminated

    @property
    def checkpointed(self) -> int:
        """The ``progress`` of the newest checkpoint, where a killed run goes on; 0 if there is none."""
        return self._checkpointed

    @property
    def progress(self) -> int:
        """Update steps of the offline phase and steps of the environment so far."""
        return self.steps + (0 if self.learner is None else self.learner.pretrained)

    def run(self) -> None:
        """Go on until ``settings.steps``, after ``settings.offline_steps``."""
        self._learn_offline()
        self._learn()
        while self.steps < self.settings.steps:
            self._episode()
        if self._unwritten:  # an episode that is not over: who goes on does it again from its beginning
            self._write()
        evaluated = bool(self.curve) and self.curve[-1].step == self.progress
        if self.learner is not None and self._practised and not evaluated:
            self._evaluate(self.learner)

    def close(self) -> None:
        """Close files and environments. What has no checkpoint yet is done again when the run goes on."""
        self._opened.close()

    def _learn_offline(self) -> None:
        if self.settings.offline_steps and self.learner is None:
            self.learner = self._begin_learning()
        while self.learner is not None and self.learner.pretrained < self.settings.offline_steps:
            self.learner.pretrain(1)
            self._report()
            self._checkpoint(at_once=self.learner.pretrained == self.settings.offline_steps)
            if self._watch is not None:
                self._watch(self)

    def _episode(self) -> None:
        source, number = self._source, self.episodes
        source.begin(number, self._seeds(EPISODE, number, 1)[0], self._journal.rows)
        noise = np.random.default_rng(np.random.SeedSequence(self.settings.seed, spawn_key=(NOISE, number)))
        over = False
        while not over and self.steps < self.settings.steps:
            if self.learner is None or not self._practised:
                rows = source.step(self._random(noise), Actor.POLICY)
            else:
                drawn = noise.standard_normal(self.learner.noise_size, np.float32)
                raw = self.learner.act(source.observation, drawn, source.images)
                rows = source.step(raw, Actor.POLICY, _version(self.learner))
            if self.learner is not None:
                self.learner.add(SESSION, rows, source.pictures)
            self._unwritten.append(rows)
            self.steps += 1
            over = bool(rows["last"][-1])
            if over:
                self._end_episode()
            self._learn()
            self._report()
            if over:
                # The next episode may be the one that the run ends in the middle of.
                self._checkpoint(at_once=self.steps + source.step_number >= self.settings.steps)
            if self._watch is not None:
                self._watch(self)

    def _random(self, noise: np.random.Generator) -> NDArray[np.float64]:
        """A raw action, (n_actions,), whose executed one is uniform in what there is of the range."""
        raw = noise.uniform(-1.0, 1.0, self._unmeasured.action_size)
        if self._first_reach is None:
            return raw
        previous = self._first_reach.previous(torch.from_numpy(self._source.observation))
        found: NDArray[np.float64] = self._first_reach.widened(torch.from_numpy(raw), previous).numpy()
        return found

    def _end_episode(self) -> None:
        self._write()
        self.episodes += 1
        self.last_return = self._source.total_reward
        self.last_costs = dict(
            zip(self._unmeasured.cost_terms, self._source.total_costs.tolist(), strict=True)
        )
        values = {"practice/return": self.last_return, "practice/length": float(self._source.step_number)}
        values |= {f"practice/cost_{name}": value for name, value in self.last_costs.items()}
        self._events.add(self.progress, values)

    def _write(self) -> None:
        rows = np.zeros(sum(map(len, self._unwritten)), self._journal.dtype)
        for name in self._journal.dtype.names or ():  # not whole rows: what lies between fields stays zero
            rows[name] = np.concatenate([part[name] for part in self._unwritten])
        self._journal.append(SESSION, int(rows["sequence"][0]), rows)
        self._unwritten.clear()

    def _learn(self) -> None:
        if self.steps < self.settings.learner.warmup:
            return
        if self.learner is None:
            self.learner = self._begin_learning()
        while self.learner.due():
            before = self.learner.alarm
            self.learner.step()
            if self.learner.alarm and not before:
                self._tell(f"step {self.steps}: critics: {self.learner.alarm}")

    def _begin_learning(self) -> Learner:
        """The random steps are over, or there are none: fix the normalisation, hence the contract, and make
        the learner."""
        seen = [*(rows for _, rows in self._journal.replay()), *self._unwritten]
        if self.folder.initial.exists():
            _, plain = read_checkpoint(self.folder.initial)
            contract = msgspec.convert(plain["contract"], TaskContract)
            require_same(
                _bare(self._unmeasured), _bare(contract), f"{self.folder.initial}, with which to begin,"
            )
            learner = self._begin_with(contract)
            learner.begin_with(self.folder.initial)
            return learner
        observations = None
        if self.settings.normalise:
            everything = [*(rows for _, rows in self._prior), *seen]
            size = self._unmeasured.observation_size - self._unmeasured.action_size
            observations = np.concatenate(
                [np.empty((0, size)), *(rows["observation"][:, :size] for rows in everything)]
            )
        learner = self._begin_with(
            environment_contract(
                self._environment,
                self.settings.environment,
                observations,
                costs=self.settings.learner.cost_names,
            )
        )
        for rows in seen:
            learner.add(SESSION, rows)
        return learner

    def _begin_with(self, contract: TaskContract) -> Learner:
        self.folder.write_contract(contract)
        return self._make_learner(contract)

    def _make_learner(self, contract: TaskContract) -> Learner:
        shown = sum(int(np.count_nonzero(~rows["last"])) for _, rows in self._prior)
        # Prior data earns no updates of its own: they are per step of the environment.
        config = msgspec.structs.replace(self.settings.learner, warmup=self.settings.learner.warmup + shown)
        folder = self.folder
        frames = folder.frames if contract.images else None
        encoder = folder.encoder if folder.encoder.exists() else None
        learner = Learner(contract, config, self.settings.seed, frames=frames, encoder=encoder)
        if learner.slow is not None:
            self._tell(learner.slow)
        for session, rows in self._prior:
            learner.add(session, rows)
        self._prior.clear()
        return learner

    def _report(self) -> None:
        if self.learner is None or not self._practised:
            return
        if self.progress % METRICS_EVERY == 0:
            self._events.add(self.progress, {f"learner/{k}": v for k, v in self.learner.metrics.items()})
        if self.progress % self.settings.evaluate_every == 0:
            self._evaluate(self.learner)

    def _evaluate(self, learner: Learner) -> None:
        count = self.settings.evaluation_episodes
        found = evaluate(
            self._judged,
            lambda observation, images: learner.act(observation, None, images),
            self._seeds(EVALUATION, self.progress, count),
        )
        point = Point(
            step=self.progress,
            wall_s=round(self.wall_s, 3),
            updates=learner.updates,
            return_mean=float(found.returns.mean()),
            return_std=float(found.returns.std()),
            length_mean=float(found.lengths.mean()),
        )
        self.curve.append(point)
        write_curve(self.folder.curve, self.curve)
        write_atomically(self.policy, learner.export(_version(learner)))
        values = {"evaluation/return": point.return_mean, "evaluation/length": point.length_mean}
        self._events.add(self.progress, values)

    def _checkpoint(self, *, at_once: bool = False) -> None:
        since = self.progress - self._checkpointed
        if self.learner is None or (since < self.settings.checkpoint_every and not at_once):
            return
        self._journal.sync()
        notes = {
            "steps": self.steps,
            "episodes": self.episodes,
            "rows": self._journal.rows,
            "wall_s": self.wall_s,
            "last_return": as_json(self.last_return),
        }
        self.learner.save(self.folder.checkpoints, notes)
        self._checkpointed = self.progress

    def _continue(self) -> None:
        self.learner = self._make_learner(self.folder.read_contract())
        notes = self.learner.load(self.folder.checkpoints)
        self._journal.keep(notes["rows"])
        for session, rows in self._journal.replay():
            self.learner.add(session, rows)
        self.steps, self.episodes = notes["steps"], notes["episodes"]
        self.last_return, self._earlier_s = from_json(notes["last_return"]), notes["wall_s"]
        self._checkpointed = self.progress
        self._tell(f"going on from step {self.progress}")
        practice = self.learner.experience.practice
        if gone := min(practice.not_pictured, practice.size):
            self._tell(
                f"up to {gone} steps are not learned from any more: their pictures are gone or damaged"
            )

    def _seeds(self, purpose: int, number: int, count: int) -> list[int]:
        """Of 32 bits, independent for each purpose and number."""
        sequence = np.random.SeedSequence(self.settings.seed, spawn_key=(purpose, number))
        return [int(seed) for seed in sequence.generate_state(count)]


def _version(learner: Learner) -> int:
    """Of its policy: update steps so far. Never 0, which rows of random actions have, not even of networks
    that were learned in another run."""
    return max(1, learner.pretrained + learner.pacing.done)


def _bare(contract: TaskContract) -> TaskContract:
    """Without its normalisation."""
    terms = tuple(msgspec.structs.replace(term, offset=0.0, scale=1.0) for term in contract.observation)
    return msgspec.structs.replace(contract, observation=terms)
