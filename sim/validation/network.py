"""The gates of a validation that judge the policy's file: whether it is for this robot, and what its network
does with inputs nobody trained it on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robot.contract import TaskContract
from robot.errors import SandlotError
from robot.policy import Policy
from robot.validation_report import GateResult
from sim.fleet_pilots import Observations, PolicyFile
from sim.validation.gates import verdict
from sim.validation.targets import Targets

SPREADS = (0.1, 1.0, 10.0, 1e3, 1e6)
"""How many times their scale the fuzzed observations lie from their offset: from ordinary to absurd."""
PER_SPREAD = 1000
ALONE = 200
"""Observations that are also run one by one."""
ROUNDS, RUNS = 5, 400
"""Latency is the p99 of the quietest of so many rounds: other programs' turns on the processor are not the
policy's."""
TOLERANCE = 1e-5
"""How far beyond [-1, 1] an action may round."""


@dataclass(frozen=True)
class NetworkProbe:
    """What the network did. ``batch_difference``: largest, alone and in a batch; ``not_finite`` and
    ``outside`` [-1, 1]: how many of ``tried`` finite observations gave such an action; ``broken_outside``:
    the same of observations that are not finite or beyond float32's arithmetic; ``latency_s``: p99."""

    batch_difference: float
    tried: int
    not_finite: int
    outside: int
    broken_outside: int
    latency_s: float


@dataclass(frozen=True)
class Parity:
    """With the framework that trained it: the largest ``difference`` of an action (None: not compared), and
    what was compared in words."""

    difference: float | None
    words: str


def contract_gate(policy: Path, contract: TaskContract, calibration_hash: str) -> GateResult:
    """G0: the file can be loaded and was made for this very robot and task; each difference on a line."""
    rule = "observations, actions, units, rates, limits, slew and filter as the robot and the twin have them"
    try:
        found = Policy(policy, contract).metadata
    except SandlotError as error:
        return GateResult("G0 contract", "fail", rule, detail=str(error))
    detail = f"contract {contract.hash()[:12]}"
    if found.calibration_hash != calibration_hash:
        detail += (
            f"; exported under calibration {found.calibration_hash[:12] or 'unknown'}, judged here under "
            f"{calibration_hash[:12]}"
        )
    return GateResult("G0 contract", "pass", rule, detail=detail)


def fuzzed(contract: TaskContract, seed: int, spreads: Sequence[float] = SPREADS) -> Observations:
    """Finite observations of every size, shape (n, observation_size)."""
    offset, scale = contract.normaliser()
    rng = np.random.default_rng([seed, *b"fuzz"])
    shape = (PER_SPREAD, contract.observation_size)
    return np.concatenate(
        [offset + scale * spread * rng.standard_normal(shape, np.float32) for spread in spreads]
    ).astype(np.float32)


def broken(observations: Observations, seed: int) -> Observations:
    """The same with one element of each not finite or huge, as no sensor's, but as a defect's."""
    rng = np.random.default_rng([seed, *b"broken"])
    found = observations.copy()
    rows = np.arange(len(found))
    bad = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30], np.float32)
    found[rows, rng.integers(found.shape[1], size=len(found))] = bad[rng.integers(len(bad), size=len(found))]
    return found


def largest_difference(alone: NDArray[np.float32], batch: NDArray[np.float32]) -> float:
    """Of actions that should be the same; infinite if one is finite where the other is not."""
    finite = np.isfinite(alone)
    if (finite != np.isfinite(batch)).any():
        return float("inf")
    return float(np.abs(alone[finite] - batch[finite]).max(initial=0.0))


def probe(policy: Path, contract: TaskContract, seed: int) -> NetworkProbe:
    """Run the file on fuzzed observations, alone and in batches, and time it alone."""
    single, many = Policy(policy, contract), PolicyFile(policy, contract)
    observations, noise = fuzzed(contract, seed), np.zeros(single.noise_size, np.float32)
    actions = many(observations)
    chosen = np.random.default_rng(seed).choice(len(observations), ALONE, replace=False)
    alone = np.array([single.act(o, noise).copy() for o in observations[chosen]])
    finite = np.isfinite(actions).all(axis=1)
    return NetworkProbe(
        batch_difference=largest_difference(alone, actions[chosen]),
        tried=len(observations),
        not_finite=int((~finite).sum()),
        outside=int(outside(actions).sum()),
        broken_outside=int(outside(many(broken(observations, seed))).sum()),
        latency_s=_latency(single, observations[:RUNS], noise),
    )


def network_gate(found: NetworkProbe, period_s: float, targets: Targets, parity: Parity) -> GateResult:
    """G1."""
    faults: Sequence[str] = [
        text
        for text, bad in (
            (f"{found.not_finite} of {found.tried} actions are not finite", found.not_finite),
            (f"{found.outside} of {found.tried} actions lie outside [-1, 1]", found.outside),
            (f"{found.broken_outside} actions outside [-1, 1] for broken inputs", found.broken_outside),
            (
                f"alone and in a batch differ by {found.batch_difference:.2g}",
                not found.batch_difference <= targets.batch_difference,
            ),
            (
                "it is not what was trained",
                parity.difference is not None and not parity.difference <= targets.parity_difference,
            ),
        )
        if bad
    ]
    limit = targets.latency_share * period_s
    ordinary = (
        f"{found.tried} fuzzed observations: finite, in range, batch within {found.batch_difference:.1g}"
    )
    return GateResult(
        "G1 ONNX",
        verdict(not faults and found.latency_s <= limit),
        "actions finite and in [-1, 1] for any finite observation, never out of range for others; alone as "
        f"in a batch and where it was trained; p99 latency at most {targets.latency_share:.0%} of the "
        "policy's period; measured: latency [ms]",
        found.latency_s * 1e3,
        limit * 1e3,
        "; ".join([*(faults or [ordinary]), f"parity: {parity.words}"]),
    )


def outside(actions: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Finite actions, or finite parts of actions, that are no actions; shape (n,)."""
    return np.asarray((np.isfinite(actions) & (np.abs(actions) > 1.0 + TOLERANCE)).any(axis=1))


def _latency(policy: Policy, observations: Observations, noise: NDArray[np.float32]) -> float:
    quietest = np.inf
    for _ in range(ROUNDS):
        times = []
        for observation in observations:
            started = time.perf_counter()
            policy.act(observation, noise)
            times.append(time.perf_counter() - started)
        quietest = min(quietest, float(np.percentile(times, 99)))
    return quietest
