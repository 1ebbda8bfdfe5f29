"""``sandlot bench learner --device cuda``: updates per second on a GPU, and what takes their time.

RLPD's ensemble of ten critics and DroQ's two at the size of a walking robot, and DrQ from pictures, on random
experience. Measured are whole updates, with drawing minibatches and copying them there; recorded updates
alone, one after the other; and the limit, the critics' matrix products alone, recorded alike and in the same
precision. Stretches of all alternate, so that they meet the same machine; the best of each counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import numpy as np

from launch.bench import frames, learner
from launch.bench.child import in_child
from learners.config import LearnerConfig
from robot.contract import TaskContract
from robot.errors import SandlotError
from robot.messages import Actor

BURST: Final = 10
"""Recorded updates, or products of one, between two looks at the clock."""


def run(seconds: float, device: str) -> dict[str, float]:
    """``seconds`` for each learner. Figures in one flat dictionary. Raises SandlotError without a device."""
    figures: dict[str, float] = {}
    for name in ("rlpd", "droq", "drq", "small_drq"):
        found = in_child(_measure, name, seconds, device)
        figures |= {f"{name}_{key}": value for key, value in found.items()}
    return {key: float(f"{value:.5g}") for key, value in figures.items()}


def _case(name: str) -> tuple[TaskContract, LearnerConfig]:
    if name in ("rlpd", "droq"):
        return learner.cases(1)[name]
    return frames.cases()["drq" if name == "drq" else "small"]


def _measure(name: str, seconds: float, device: str) -> dict[str, float]:
    """One learner's figures, in this process."""
    import msgspec
    import torch

    from learners.device_drq import DeviceDrq
    from learners.device_sac import DeviceSac
    from learners.learner import Learner

    contract, config = _case(name)
    began = time.perf_counter()
    there = Learner(contract, msgspec.structs.replace(config, device=device), seed=0)
    algorithm = there.algorithm
    if not isinstance(algorithm, DeviceSac | DeviceDrq):
        raise SandlotError(f"expected a device to measure, as cuda; got {device!r}")
    rng = np.random.default_rng(0)
    if contract.images:
        there.add("s", frames._rows(contract, 2_000, rng), frames._pictures(contract, 2_000, rng))
    else:
        for session, actor in (("practice", Actor.POLICY), ("prior", Actor.SCRIPT)):
            there.add(session, learner._rows(contract, actor, rng))
    there.pretrain(1)
    torch.cuda.synchronize()
    start_s = time.perf_counter() - began
    batch = there.experience.batch(rng)
    recorded = algorithm.recorded[config.updates_per_step]
    products = _products(contract, config, device)
    whole, drawn, copied, alone, limit = (learner._Times() for _ in range(5))

    def repeat(work: Callable[[], Any]) -> Callable[[], None]:
        def burst() -> None:
            for _ in range(BURST):
                work()
            torch.cuda.synchronize()

        return burst

    def copy() -> None:
        for part in (*batch[:5], *batch.images, *batch.next_images):
            part.to(device)
        torch.cuda.synchronize()

    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        whole.repeat(lambda: there.pretrain(1), learner.STRETCH_S)
        drawn.repeat(lambda: there.experience.batch(rng), learner.STRETCH_S / 5)
        copied.repeat(copy, learner.STRETCH_S / 5)
        alone.repeat(repeat(recorded[-1].run), learner.STRETCH_S)
        limit.repeat(repeat(products), learner.STRETCH_S)
    count = config.updates_per_step
    alone_s, limit_s = (min(one.wall_s) / BURST / count for one in (alone, limit))
    return {
        "updates_per_s": count / min(whole.wall_s),
        "updates_p50_per_s": count / float(np.median(whole.wall_s)),
        "recorded_updates_per_s": 1.0 / alone_s,
        "products_limit_updates_per_s": 1.0 / limit_s,
        "products_limit_ratio": limit_s / alone_s,
        "drawing_ms_per_step": 1e3 * min(drawn.wall_s),
        "copying_ms_per_step": 1e3 * min(copied.wall_s),
        "recorded_ms_per_step": 1e3 * alone_s * count,
        "memory_mb": torch.cuda.max_memory_allocated() / 1e6,
        "start_s": start_s,
    }


def _products(contract: TaskContract, config: LearnerConfig, device: str) -> Callable[[], object]:
    """The critics' matrix products in ``updates_per_step`` updates, recorded."""
    import torch

    from learners.engine.recorded import Recorded

    inputs = contract.observation_size + contract.action_size
    widths = (inputs, *config.hidden)
    at = {"device": device}
    layers = list(pairwise(widths))
    rows = [torch.randn(config.critics, config.batch, width, **at) for width in widths]
    weights = [torch.randn(config.critics, *layer, **at) for layer in layers]

    def work() -> torch.Tensor:
        for _ in range(config.updates_per_step):
            for _ in ("targets", "values"):
                for h, weight in zip(rows, weights, strict=False):
                    found = torch.bmm(h, weight)
            for k, weight in enumerate(weights):
                torch.bmm(rows[k].mT, rows[k + 1])
                if k > 0:
                    torch.bmm(rows[k + 1], weight.mT)
        return found

    return Recorded(work, torch.Generator(device)).run
