"""``sandlot bench learner --against``: updates per second beside those of another package, from the same
sizes of networks, minibatches and memory, in float32 and on the same cores.

Both learners are in one process, and stretches of both alternate, so that they meet the same machine; the
best and the median of each count. An update is one of the critics, with its sampling and its share of the
actor's and the temperature's. What their first update takes longer (JAX compiles it) is given by itself.
Only learning is measured: no environment is stepped on either side.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final, Literal

import gymnasium
import numpy as np

from launch.bench.child import in_child
from launch.bench.learner import ROWS, STRETCH_S, _rows, _Times, _walker
from learners.presets import preset
from robot.errors import SandlotError
from robot.messages import Actor

Package = Literal["sb3", "sbx"]
MODULES: Final = {"sb3": "stable_baselines3", "sbx": "sbx"}
ALGORITHMS: Final[dict[Package, tuple[str, ...]]] = {"sb3": ("sac",), "sbx": ("sac", "droq")}
"""What a package has of ours: Stable-Baselines3 has neither dropout nor LayerNorm in its critics."""


def run(package: Package, seconds: float, threads: int) -> dict[str, float]:
    """``seconds`` for each algorithm that both have, half of them theirs. Raises ModuleNotFoundError if the
    package is not installed."""
    module = MODULES[package]
    if find_spec(module) is None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    figures: dict[str, float] = {"threads_count": threads}
    for algorithm in ALGORITHMS[package]:
        found = beside(package, algorithm, seconds, threads)
        figures |= {f"{algorithm}_{key}": value for key, value in found.items()}
    return {key: float(f"{value:.5g}") for key, value in figures.items()}


def beside(package: Package, algorithm: str, seconds: float, threads: int) -> dict[str, float]:
    """The figures of one algorithm, ours and theirs."""
    return in_child(_measure, package, algorithm, seconds, threads)


def _measure(package: Package, algorithm: str, seconds: float, threads: int) -> dict[str, float]:
    """Both packages' figures, in this process."""
    # Before anything that starts threads is imported: XLA's are as many as there are cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    ours, count = _ours(algorithm, threads)
    import torch

    theirs = _theirs(package, count)
    began = time.perf_counter()
    theirs()
    first_s = time.perf_counter() - began
    ours()
    times = {"ours": _Times(), "theirs": _Times()}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        times["ours"].repeat(ours, STRETCH_S)
        torch.set_num_threads(threads)  # theirs; ours has its own beside torch's one
        times["theirs"].repeat(theirs, STRETCH_S)
        torch.set_num_threads(1)
    found = {"theirs_first_update_extra_s": first_s - float(np.median(times["theirs"].wall_s))}
    for name, one in times.items():
        found[f"{name}_updates_per_s"] = count / min(one.wall_s)
        found[f"{name}_updates_p50_per_s"] = count / float(np.median(one.wall_s))
        found[f"{name}_cpu_ms_per_update"] = 1e3 * float(np.median(one.cpu_s)) / count
    for kind in ("", "_p50"):
        key = f"updates{kind}_per_s"
        found[f"times_theirs{kind}"] = found[f"ours_{key}"] / found[f"theirs_{key}"]
    return found


def _ours(algorithm: str, threads: int) -> tuple[Callable[[], object], int]:
    """What an environment step earns, and how many critic updates that is."""
    from learners.learner import Learner

    settings = {"warmup": 0, "matmul": "float32", "threads": threads, "held_out": 0.0, "capacity": ROWS}
    config = preset(algorithm, settings)
    learner = Learner(_walker(), config, seed=0)
    if learner.slow is not None:
        raise SandlotError(f"nothing was measured: {learner.slow}")
    learner.add("practice", _rows(_walker(), Actor.POLICY, np.random.default_rng(0)))
    return lambda: learner.pretrain(1), config.updates_per_step


def _theirs(package: Package, updates: int) -> Callable[[], object]:
    """The same of Stable-Baselines3 or its JAX counterpart; of the latter SAC with one update per step, or
    DroQ with several and then one of the actor."""
    from stable_baselines3.common.logger import Logger

    contract = _walker()
    common: dict[str, Any] = {"buffer_size": ROWS, "batch_size": 256, "seed": 0, "device": "cpu"}
    network: dict[str, Any] = {"net_arch": [256, 256], "n_critics": 2}
    if package == "sb3":
        from stable_baselines3 import SAC
    else:
        from sbx import SAC

        common |= {"policy_delay": updates}
        network |= {"dropout_rate": 0.01, "layer_norm": True} if updates > 1 else {}
    noise = _Noise(contract.observation_size, contract.action_size)
    model: Any = SAC("MlpPolicy", noise, policy_kwargs=network, **common)
    model.set_logger(Logger(None, []))
    rng, memory = np.random.default_rng(0), model.replay_buffer
    for array in (memory.observations, memory.next_observations, memory.rewards):
        array[:] = rng.normal(size=array.shape)
    memory.actions[:] = rng.uniform(-1.0, 1.0, memory.actions.shape)
    memory.full = True

    def update() -> None:
        model.train(updates, common["batch_size"])  # ends by reading a loss, hence waits for its results

    return update


class _Noise(gymnasium.Env[Any, Any]):  # type: ignore[misc]
    """Only its sizes matter: nobody steps it."""

    def __init__(self, observations: int, actions: int) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (observations,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (actions,), np.float32)
