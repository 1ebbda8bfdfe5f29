"""A policy's examination: every gate in turn, on the batched twin, and what the pictures of it need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from robot.errors import SpecError
from robot.validation_report import GateResult
from sim.car import CarParameters, car_parameters, chassis_inertia
from sim.episode_results import EpisodeResults
from sim.fleet_pilots import Pilots, PolicyFile, PolicyPilots
from sim.randomisation import Draws, draw, nominal, randomised
from sim.rollout import Progress, Setting, rollout
from sim.validation import gates
from sim.validation.extremes import (
    LIKELY,
    RARE,
    Boundary,
    boundaries,
    episodes,
    outward,
    points,
    split,
    varied,
)
from sim.validation.gates import Cell
from sim.validation.network import Parity, contract_gate, network_gate, probe
from sim.validation.targets import LONGEST_DELAY_S, Targets

Array = NDArray[np.float64]

SMOKE_EPISODES, FULL_EPISODES = 160, 400
"""A policy of true rate 0.99 passes G3 in 92 of 100 cases with 160, one of 0.98 in 60, and in 94 with 400.
With 59, the fewest that can prove 0.95, it is 55 and 30 (exact binomial)."""
DELAYS_S: Array = np.arange(0.0, LONGEST_DELAY_S + 0.001, 0.01)
"""Extra delays of observations that are tried [s]: guardian ticks up to four times what must be borne."""
WORST = 6
"""Episodes whose trajectories are kept."""
FAULTS: tuple[tuple[str, dict[str, float | Array]], ...] = (
    ("frozen (a tenth of the observations are the last again)", {"observation_repeated": 0.1}),
    ("dropped (a tenth of the observations)", {"observation_dropped": 0.1}),
    ("dropped (a tenth of the commands)", {"command_dropped": 0.1}),
    ("frozen (half of the observations are the last again)", {"observation_repeated": 0.5}),
    ("late (100 ms)", {"observation_delay": 0.1}),
    ("jitter (up to 60 ms)", {"observation_jitter": 0.06}),
    ("dropped (a third of the observations)", {"observation_dropped": 0.33}),
    ("dropped (a third of the commands)", {"command_dropped": 0.33}),
    ("wrong (four times the estimate's error)", {"estimate_error": 4.0}),
)
"""Far more than a working robot shows. A tenth leaves most episodes without three in a row, and a good policy
drives on; a half and a third make three or more in a row in every episode: the racer's command timeout is
three steps, so the kernel stops it, as it should, and hardly any episode can succeed."""

Watch = Callable[[str, float], None]
"""Told now and then: what is being tried, and the share [0, 1] of the whole examination that is done."""


Drive = Callable[[Path, Setting, Draws, Progress], EpisodeResults]
"""Drives all episodes by a policy's file; the same results wherever that is."""


def policy_pilots(policy: Path, setting: Setting) -> Pilots:
    """A policy's file as who drives."""
    return PolicyPilots(PolicyFile(policy, setting.contract), setting.contract)


def drive_here(policy: Path, setting: Setting, draws: Draws, progress: Progress) -> EpisodeResults:
    """On this machine's processors."""
    return rollout(setting, policy_pilots(policy, setting), draws, progress=progress)


class Crosschecks(Protocol):
    """Gates that hold the twin against the robot rather than a policy against the twin."""

    def validity(self) -> GateResult:
        """G2, from the robot's logs."""

    def agreement(self, nominal: EpisodeResults, randomised: EpisodeResults) -> GateResult:
        """G8, from what policies did on the robot; this one's episodes on the twin are its own pair."""


@dataclass(frozen=True)
class Plan:
    """How much is tried. ``episodes``: nominal, and again randomised; ``cell``: of each delay and fault;
    ``repeats``: of each parameter's extreme."""

    gate: Literal["smoke", "full"]
    episodes: int
    seed: int = 0
    cell: int = 20
    repeats: int = 3

    def weights(self, parameters: int, compared: bool) -> dict[str, float]:
        """About how many episodes each part of it takes."""
        parts = {"nominal": self.episodes, "randomised": self.episodes}
        if compared:
            parts["deployed"] = self.episodes
        if self.gate == "full":
            parts["timing"], parts["faults"] = len(DELAYS_S) * self.cell, len(FAULTS) * self.cell
            parts["extremes"] = 4 * parameters * self.repeats
            parts["boundaries"] = 4 * parameters * self.repeats
        return {name: float(n) for name, n in parts.items()}


@dataclass
class Findings:
    """What an examination found; ``gates`` in order. The rest is for pictures: empty where the policy could
    not be driven or the smoke gate does not look."""

    gates: list[GateResult] = field(default_factory=list)
    nominal: EpisodeResults | None = None
    randomised: EpisodeResults | None = None
    worst: EpisodeResults | None = None
    """The worst randomised episodes once more, with their trajectories."""
    delayed: list[Cell] = field(default_factory=list)
    boundaries: list[Boundary] = field(default_factory=list)


def examine(
    policy: Path,
    setting: Setting,
    plan: Plan,
    targets: Targets,
    parity: Parity,
    against: Path | None,
    watch: Watch,
    crosschecks: Crosschecks,
    drive: Drive = drive_here,
) -> Findings:
    """Try everything; ``against``: the policy that is deployed; ``crosschecks``: of the twin itself;
    ``drive``: where episodes are driven. Raises SandlotError only for what is not the policy's fault."""
    findings, contract = Findings(), setting.contract
    findings.gates.append(contract_gate(policy, contract, setting.spec.calibration_hash()))
    if findings.gates[0].verdict == "fail":
        return findings
    found = probe(policy, contract, plan.seed)
    findings.gates.append(network_gate(found, 1.0 / contract.policy_hz, targets, parity))
    findings.gates.append(crosschecks.validity())
    _Examination(setting, plan, targets, policy, against, watch, crosschecks, drive, findings).run()
    return findings


class _Examination:
    """The gates that drive."""

    def __init__(
        self,
        setting: Setting,
        plan: Plan,
        targets: Targets,
        policy: Path,
        deployed: Path | None,
        watch: Watch,
        crosschecks: Crosschecks,
        drive: Drive,
        findings: Findings,
    ) -> None:
        self._setting, self._plan, self._targets, self._findings = setting, plan, targets, findings
        self._policy, self._deployed, self._watch = policy, deployed, watch
        self._crosschecks, self._drive_them = crosschecks, drive
        self._limits = setting.spec.safety.limits
        self._nominal = nominal(setting.spec)
        self._randomised = randomised(setting.spec, setting.course.length)
        self._varied = varied(self._randomised)
        self._weights = plan.weights(len(self._varied), deployed is not None)
        self._begun: list[str] = []

    def run(self) -> None:
        findings, plan, targets = self._findings, self._plan, self._targets
        add = findings.gates.append
        calm = findings.nominal = self._drive("nominal", draw(self._nominal, plan.episodes, plan.seed))
        add(gates.nominal_gate(calm, self._limits, targets))
        draws = draw(self._randomised, plan.episodes, plan.seed)
        spread = findings.randomised = self._drive("randomised", draws)
        add(gates.randomised_gate(spread, calm, self._limits, targets))
        add(gates.tail_gate(spread, calm, targets, plan.seed))
        if plan.gate == "full":
            self._worst_case()
            self._timing()
            self._faults()
        else:
            for name, rule in (
                ("G5 worst case", "each parameter alone at its extremes"),
                ("G6 timing", "more delay than the robot's own"),
                ("G7 faults", "late, dropped, repeated and wrong observations"),
            ):
                add(gates.skipped(name, rule, "the full gate tries it"))
        add(self._crosschecks.agreement(calm, spread))
        if self._deployed is None:
            why = "nothing named to compare with (--against)"
            add(gates.skipped("G9 against deployed", "not worse than what is deployed", why))
        else:
            other = self._drive("deployed", draws, self._deployed)
            add(gates.comparison_gate(spread, other, targets))
        findings.worst = self._again(draws, spread)
        self._watch("done", 1.0)

    def _worst_case(self) -> None:
        findings, targets = self._findings, self._targets
        base = draw(self._nominal, self._plan.repeats, self._plan.seed)
        likely, rare = points(self._varied, LIKELY), points(self._varied, RARE)
        chosen = [*likely, *rare]
        results = self._drive("extremes", episodes(base, chosen))
        cells = split(results, [point.label for point in chosen])
        found = boundaries(
            lambda draws: self._drive("boundaries", draws),
            base,
            outward(self._varied, self._possible),
            {cell.label: cell for cell in cells[len(likely) :]},
            targets.cell_success,
        )
        findings.boundaries = found
        words = [boundary.words() for boundary in found]
        findings.gates.append(
            gates.worst_case_gate(cells[: len(likely)], cells[len(likely) :], words, targets)
        )

    def _possible(self, name: str, value: float) -> bool:
        if name not in {f.name for f in fields(CarParameters)}:
            return True
        try:
            chassis_inertia(car_parameters(self._setting.spec, {name: value}))
        except SpecError:
            return False
        return True

    def _timing(self) -> None:
        draws = draw(self._randomised, self._plan.cell, self._plan.seed)
        each = len(draws)
        late = draws.take(np.tile(np.arange(each), len(DELAYS_S))).having(
            {"observation_delay": np.repeat(DELAYS_S, each)}
        )
        labels = [f"{delay * 1e3:.0f} ms" for delay in DELAYS_S]
        self._findings.delayed = split(self._drive("timing", late), labels)
        self._findings.gates.append(gates.timing_gate(DELAYS_S, self._findings.delayed, self._targets))

    def _faults(self) -> None:
        draws = draw(self._randomised, self._plan.cell, self._plan.seed)
        values = np.concatenate([draws.having(changed).values for _, changed in FAULTS])
        every = Draws(draws.seed, draws.names, np.tile(draws.numbers, len(FAULTS)), values)
        cells = split(self._drive("faults", every), [label for label, _ in FAULTS])
        self._findings.gates.append(gates.faults_gate(cells, self._limits))

    def _again(self, draws: Draws, results: EpisodeResults) -> EpisodeResults:
        """The worst episodes, failures first, recorded."""
        rows = results.rows
        order = np.lexsort((rows["score"], rows["success"]))[:WORST]
        chosen = draws.take(order)
        pilots = policy_pilots(self._policy, self._setting)
        return rollout(self._setting, pilots, chosen, record=chosen.numbers.tolist())

    def _drive(self, name: str, draws: Draws, policy: Path | None = None) -> EpisodeResults:
        before = sum(self._weights[n] for n in self._begun if n != name)
        if name not in self._begun:
            self._begun.append(name)
        whole, own, n = sum(self._weights.values()), self._weights[name], max(len(draws), 1)
        seconds = self._setting.seconds or self._setting.make_task().success.seconds

        def progress(share: float, driving: int) -> None:
            # Most episodes end long before their time is up, about together.
            done = max(1.0 - driving / n, min(share * seconds / TYPICAL_S, 0.95), share)
            self._watch(name, (before + own * min(done, 1.0)) / whole)

        return self._drive_them(policy or self._policy, self._setting, draws, progress)


TYPICAL_S = 15.0
"""About how long an episode lasts that succeeds, for the progress only [s]."""


def overall(results: Sequence[GateResult]) -> Literal["pass", "fail"]:
    """Pass if something was tried and nothing failed."""
    tried = [gate for gate in results if gate.verdict in ("pass", "fail")]
    return "pass" if tried and all(gate.verdict == "pass" for gate in tried) else "fail"
