"""``sandlot bench learner``: critic updates per second, against the bare matrix products of an update.

Three learners, each in a process of its own, on random experience: RLPD's ensemble of ten critics, DroQ's two
with dropout (both at the size of a walking robot), and what the racer practises with. An update is
everything that is due for it: sampling, targets, its share of the actor's update. The limit is the time of
the update's matrix products alone, at the same sizes, in the same precision and on as many threads. Stretches
of both alternate, so that they meet the same machine; the best of each counts. Processor time is given beside
it: on a shared machine it is the steadier of the two. Then how long IDQL's policy takes to answer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from launch.bench.child import in_child
from learners.config import LearnerConfig
from robot.contract import PREVIOUS_ACTION, ObservationTerm, TaskContract, task_contract
from robot.errors import SandlotError
from robot.messages import Actor
from robot.practice.course import load_course
from robot.practice.lap_task import LapTask
from robot.spec import ActionTerm, load_spec

LAUNCH: Final = Path(__file__).parents[1]
OBSERVATIONS, ACTIONS = 46, 12
"""Of Walk in the Park's A1 (Smith et al. 2022, arXiv 2208.07860)."""
ROWS: Final = 50_000
"""Transitions to sample from, of practice and as many of prior data: 42 min at 20 Hz."""
STRETCH_S: Final = 0.25
CANDIDATES: Final = (64, 16, 4)
"""Actions that an IDQL policy chooses from."""
LARGE: Final = 1024
START_TIMEOUT_S: Final = 300.0


class Product(NamedTuple):
    """A matrix product (rows, inner) x (inner, columns). ``kind``: forward, or back by weight or by input."""

    kind: str
    rows: int
    inner: int
    columns: int

    @property
    def flop(self) -> int:
        return 2 * self.rows * self.inner * self.columns


def cases(threads: int) -> dict[str, tuple[TaskContract, LearnerConfig]]:
    """Whom to measure."""
    rlpd = LearnerConfig(critics=10, subset=2, updates_per_step=20, warmup=0, threads=threads)
    droq = LearnerConfig(critics=2, dropout=0.01, updates_per_step=20, warmup=0, threads=threads)
    racer = LearnerConfig(warmup=0, threads=threads)
    return {
        "rlpd": (_walker(), rlpd),
        "droq": (_walker(), droq),
        "racer": (_racer(), racer),
    }


def run(seconds: float, threads: int) -> dict[str, float]:
    """``seconds`` for each learner. Figures in one flat dictionary."""
    figures: dict[str, float] = {"threads_count": threads}
    for k, name in enumerate(cases(threads)):
        found = alone(name, seconds, threads)
        machine = {key: found.pop(key) for key in [key for key in found if key.startswith("gemm_")]}
        figures |= machine if k == 0 else {}
        figures |= {f"{name}_{key}": value for key, value in found.items()}
    for candidates in CANDIDATES:
        figures |= in_child(_answer_idql, candidates)
    with tempfile.TemporaryDirectory(prefix="sandlot-bench-") as cache:
        figures["start_cold_s"] = _start(cache)
        figures["start_warm_s"] = min(_start(cache) for _ in range(2))
    return {key: float(f"{value:.5g}") for key, value in figures.items()}


def alone(name: str, seconds: float, threads: int) -> dict[str, float]:
    """The figures of one of the ``cases``."""
    return in_child(_measure, name, seconds, threads)


def products(contract: TaskContract, config: LearnerConfig) -> Counter[Product]:
    """The matrix products of G critic updates and one of the actor, and how many of each."""
    rows, updates, critics = config.batch, config.updates_per_step, config.critics
    observations, actions, hidden = contract.observation_size, contract.action_size, config.hidden
    counts: Counter[Product] = Counter()
    inputs = observations + actions
    for below, width in zip((inputs, *hidden[:-1]), hidden, strict=True):
        forward = updates * (config.subset + critics) + critics  # targets, values, the actor's loss
        counts[Product("forward", rows, below, width)] += forward
        counts[Product("weight", below, rows, width)] += updates * critics
        by_input = critics if below == inputs else (updates + 1) * critics
        counts[Product("input", rows, width, actions if below == inputs else below)] += by_input
    layers = zip((observations, *hidden), (*hidden, 2 * actions), strict=True)
    for k, (below, width) in enumerate(layers):
        counts[Product("forward", rows, below, width)] += updates + 1
        counts[Product("weight", below, rows, width)] += 1
        if k > 0:
            counts[Product("input", rows, width, below)] += 1
    return counts


def _measure(name: str, seconds: float, threads: int) -> dict[str, float]:
    """One learner's figures, in this process."""
    import torch

    from learners.engine.precision import operand_type
    from learners.learner import Learner

    contract, config = cases(threads)[name]
    learner = Learner(contract, config, seed=0)
    if learner.slow is not None:
        raise SandlotError(f"nothing was measured: {learner.slow}")
    rng = np.random.default_rng(0)
    for session, actor in (("practice", Actor.POLICY), ("prior", Actor.SCRIPT)):
        learner.add(session, _rows(contract, actor, rng))
    operand = operand_type(config.matmul)
    bare = _Bare(products(contract, config), operand, threads)
    learner.pretrain(2)
    updates, samples, products_alone = _Times(), _Times(), _Times()
    stretch_s = min(STRETCH_S, seconds)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        updates.repeat(lambda: learner.pretrain(1), stretch_s)
        samples.repeat(lambda: learner.experience.batch(rng), stretch_s / 10)
        products_alone.repeat(bare.run, stretch_s)
    exports = _Times()
    exports.repeat(lambda: learner.export(1), stretch_s)
    count, flop = config.updates_per_step, bare.flop / config.updates_per_step
    update_s, products_s = min(updates.wall_s) / count, min(products_alone.wall_s) / count
    found = {
        "updates_per_s": 1.0 / update_s,
        "updates_p50_per_s": count / float(np.median(updates.wall_s)),
        "products_limit_updates_per_s": 1.0 / products_s,
        "products_limit_updates_p50_per_s": count / float(np.median(products_alone.wall_s)),
        "products_limit_ratio": products_s / update_s,
        "cpu_ms_per_update": 1e3 * min(updates.cpu_s) / count,
        "products_cpu_ratio": min(products_alone.cpu_s) / min(updates.cpu_s),
        "sampling_cpu_ratio": min(samples.cpu_s) / min(updates.cpu_s),
        "mflop_per_update": flop / 1e6,
        "gflop_per_s": flop / update_s / 1e9,
        "products_gflop_per_s": flop / products_s / 1e9,
        "export_ms": 1e3 * min(exports.wall_s),
        "bfloat16": float(operand == torch.bfloat16),
        "peak_memory_mb": _peak_mb(),
    }
    for kind in (torch.float32, torch.bfloat16):
        kind_name = str(kind).removeprefix("torch.")
        hidden = Counter({Product("forward", config.batch, config.hidden[0], config.hidden[-1]): 4 * threads})
        large = Counter({Product("forward", LARGE, LARGE, LARGE): threads})
        for size, one in (("hidden", hidden), ("large", large)):
            alone, times = _Bare(one, kind, threads), _Times()
            times.repeat(alone.run, 2 * stretch_s)
            found[f"gemm_{kind_name}_{size}_gflop_per_s"] = alone.flop / min(times.wall_s) / 1e9
    return found


def _answer_idql(candidates: int) -> dict[str, float]:
    """What choosing between so many candidates takes a robot."""
    from launch.bench.policy_time import policy_ms
    from learners.learner import Learner
    from learners.presets import preset

    learner = Learner(_walker(), preset("idql", {"candidates": candidates}), seed=0)
    return {f"idql_{candidates}_policy_p50_ms": policy_ms(learner.export(1))}


class _Bare:
    """Products alone, each worker its share of them."""

    def __init__(self, counts: Counter[Product], operand: Any, threads: int) -> None:
        import torch

        from learners.engine.workers import Workers

        self.flop = sum(product.flop * count for product, count in counts.items())
        self._workers = Workers(threads)
        self._tasks = []
        for k in range(threads):
            calls = []
            for (kind, rows, inner, columns), count in counts.items():
                left, right = torch.randn(rows, inner), torch.randn(inner, columns)
                if kind == "weight":
                    left = torch.randn(inner, rows).t()
                if kind == "input":
                    right = torch.randn(columns, inner).t()
                out = torch.empty(rows, columns, dtype=operand)
                call = partial(torch.mm, left.to(operand), right.to(operand), out=out)
                calls += [call] * (count * (k + 1) // threads - count * k // threads)
            self._tasks.append(partial(_call_all, calls))

    def run(self) -> None:
        """All of them."""
        self._workers.run(self._tasks)


def _call_all(calls: list[Any]) -> None:
    for call in calls:
        call()


class _Times:
    """How long something took, each time: on the clock, and of the processor in all threads."""

    def __init__(self) -> None:
        self.wall_s: list[float] = []
        self.cpu_s: list[float] = []

    def repeat(self, work: Callable[[], object], seconds: float) -> None:
        """For ``seconds``, at least once."""
        end = time.perf_counter() + seconds
        while True:
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            self.wall_s.append(time.perf_counter() - wall)
            self.cpu_s.append(time.process_time() - cpu)
            if time.perf_counter() >= end:
                return


def _start(cache: str) -> float:
    """From the start of a Python process to the racer's first update [s], kernels cached in ``cache``."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "from launch.bench.learner import first_update; first_update()"],
        check=True,
        env={**os.environ, "XDG_CACHE_HOME": cache},
        timeout=START_TIMEOUT_S,
    )
    return time.perf_counter() - start


def first_update() -> None:
    """Import, build and update the racer's learner once."""
    from learners.learner import Learner

    contract, config = cases(1)["racer"]
    learner = Learner(contract, config, seed=0)
    learner.add("prior", _rows(contract, Actor.SCRIPT, np.random.default_rng(0), 1000))
    learner.pretrain(1)


def _peak_mb() -> float:
    """Most memory this process has had [MB]."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def _rows(
    contract: TaskContract, actor: Actor, rng: np.random.Generator, count: int = ROWS
) -> NDArray[np.void]:
    """One long episode of noise."""
    rows = np.zeros(count, contract.step_dtype())
    rows["step"], rows["actor"] = np.arange(count), actor
    for field in ("observation", "reward"):
        rows[field] = rng.normal(size=rows[field].shape)
    rows["action"] = rng.uniform(-1.0, 1.0, rows["action"].shape)
    return rows


def _walker() -> TaskContract:
    names = tuple(f"joint_{k}" for k in range(ACTIONS))
    numbers = tuple(map(str, range(OBSERVATIONS - ACTIONS)))
    return TaskContract(
        robot={"robot": "bench"},
        task="walk",
        policy_hz=20.0,
        observation=(
            ObservationTerm(name="numbers", unit="1", scale=1.0, elements=numbers),
            ObservationTerm(name=PREVIOUS_ACTION, unit="1", scale=1.0, elements=names),
        ),
        actions=tuple(ActionTerm(name=n, actuator=n, lower=-1.0, upper=1.0) for n in names),
        reward_terms=("reward",),
    )


def _racer() -> TaskContract:
    spec = load_spec(LAUNCH / "robots" / "racer.toml")
    task = LapTask(spec, load_course(LAUNCH / "courses" / "oval.toml"))
    return task_contract(spec, task.name, task.observation, task.reward_terms, task.cost_terms)
