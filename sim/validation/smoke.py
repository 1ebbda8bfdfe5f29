"""The smoke gate of practice: may the policy that the learner is about to publish take the place of the one
that drives?

Beginners crash, and have to: what a policy does alone holds nothing back but an action that is none. It is
compared with the one that drives in the same short episodes, and held back where it is clearly worse.
"""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robot.errors import PolicyError, SandlotError
from sim.episode_results import Ending, EpisodeResults
from sim.fleet_pilots import PolicyFile, PolicyPilots
from sim.randomisation import draw, nominal
from sim.rollout import Setting, rollout
from sim.validation.network import broken, fuzzed, outside
from sim.validation.statistics import worse_p_value

Flags = NDArray[np.bool_]

EPISODES = 10
"""Places all round the course, a start each."""
SECONDS = 2.5
"""How long each lasts [s]: at 3 m/s half a lap. Who cannot steer has hit a wall by then, and so has who is
too fast for the next bend."""
START_SPEEDS = (1.0, 2.0, 3.0)
"""In turn [m/s]: rolling, so that no time is lost in setting off."""
WORSE_P = 0.005
"""Of the paired test. 8 episodes lost and none won say so (p = 0.004), 7 do not; nor do 10 and one."""
FAR = 0.5
"""Who comes less than this share of the other's way [1] has lost the episode though it did not fail."""
PATIENCE = 15
"""So many candidates in a row are held back for being worse; the next is published. The twin may be wrong
about a real robot, and a learner whose policy is never tried never learns so."""


@dataclass(frozen=True)
class Drive:
    """What came of one policy's episodes. ``failed``: crashed, flipped, got stuck, was stopped by the safety
    kernel, or was truly beyond a limit that stops the robot; ``cycles``: how far each came [course lengths];
    both shape (EPISODES,)."""

    failed: Flags
    cycles: NDArray[np.float64]

    def better(self, other: Drive) -> Flags:
        """Where this one did not fail and came further than the other, which failed or came less than
        ``FAR`` of its way. Who fails further on than this one came has tried something, and not lost."""
        less = other.cycles < self.cycles
        return ~self.failed & less & (other.failed | (other.cycles < FAR * self.cycles))


def comparison(candidate: Drive, published: Drive) -> str | None:
    """Why the candidate is clearly worse than the published policy: McNemar's exact one-sided test over the
    episodes that either of them won. None if it is not."""
    won, lost = candidate.better(published), published.better(candidate)
    p = worse_p_value(won, lost)
    if p >= WORSE_P:
        return None
    return (
        f"clearly worse than the published policy in the twin: {int(lost.sum())} of {len(lost)} episodes "
        f"lost, {int(won.sum())} won (p = {p:.1g}); {int(candidate.failed.sum())} failures against "
        f"{int(published.failed.sum())}"
    )


class SmokeGate:
    """Judges a learner's candidates one after the other, on one processor; the same candidates get the same
    verdicts."""

    def __init__(self, setting: Setting, seed: int) -> None:
        self._setting = dataclasses.replace(setting, seconds=SECONDS, endless=True, threads=1)
        self._limits = setting.spec.safety.limits
        places = setting.course.length * (np.arange(EPISODES) + 0.5) / EPISODES
        self._draws = draw(nominal(setting.spec), EPISODES, seed).having(
            {"start_distance": places, "start_speed": np.resize(START_SPEEDS, EPISODES)}
        )
        contract = setting.contract
        ordinary = fuzzed(contract, seed, (0.1, 1.0, 10.0))
        self._finite, self._broken = ordinary, broken(ordinary, seed)
        self._known: tuple[bytes, Drive | None] | None = None
        """A policy and how it drives (None: it is unsafe): the one that passed last, or was compared with."""
        self._held = 0
        """Candidates in a row that were held back for being worse."""
        self.gave_way = ""
        """Why the last candidate should have been held back, where patience was at its end."""

    def judge(self, onnx: bytes, published: bytes | None) -> str | None:
        """Why this policy must not take the place of the ``published`` one that drives (None: none does), or
        None."""
        self.gave_way = ""
        try:
            drive = self._try(onnx)
        except SandlotError as error:
            return f"unsafe: {error}"
        rival = None if published is None else self._rival(published)
        worse = None if rival is None else comparison(drive, rival)
        if worse is not None and self._held < PATIENCE:
            self._held += 1
            return worse
        if worse is not None:
            self.gave_way = f"published after {self._held} in a row were held back, though {worse}"
        self._known, self._held = (onnx, drive), 0
        return None

    def _rival(self, onnx: bytes) -> Drive | None:
        """How a published policy drives; None if it is unsafe, and protects nothing."""
        if self._known is None or self._known[0] != onnx:
            try:
                self._known = onnx, self._try(onnx)
            except SandlotError:
                self._known = onnx, None
        return self._known[1]

    def _try(self, onnx: bytes) -> Drive:
        """How it drives. Raises SandlotError for what is wrong with it alone."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "candidate.onnx"
            path.write_bytes(onnx)
            policy = PolicyFile(path, self._setting.contract)
        actions = policy(self._finite)
        if bad := int((~np.isfinite(actions).all(axis=1)).sum()):
            raise PolicyError(f"{bad} of {len(actions)} actions are not finite for finite observations")
        if bad := int(outside(actions).sum() + outside(policy(self._broken)).sum()):
            raise PolicyError(f"{bad} actions lie outside [-1, 1]")
        results = rollout(self._setting, PolicyPilots(policy, self._setting.contract), self._draws)
        if (results.rows["ending"] == Ending.NOT_FINITE).any():
            raise PolicyError("its actions while driving are not finite")
        return self.drive(results)

    def drive(self, results: EpisodeResults) -> Drive:
        """Episodes as they are compared."""
        rows = results.rows
        stopping = [k for k, limit in enumerate(self._limits) if limit.action != "reduce"]
        beyond = rows["violated"][:, stopping].any(axis=1)
        ended = ~np.isin(rows["ending"], (Ending.TIME, Ending.FINISHED))
        return Drive(ended | beyond, rows["cycles"].copy())
