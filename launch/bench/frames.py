"""``sandlot bench frames``: storing and drawing pictures, and what of an update from pictures that is.

A learner with two cameras of 128 x 128 and room for 100,000 transitions: pictures are written to its file and
drawn from it at random. Then DrQ at the papers' size (84 x 84, stacks of three, minibatches of 256), and one
that a robot without a GPU could use: updates, the drawing of their minibatches, the exported policy. All on
one thread; processor time is given beside the clock's, and steadier on a shared machine.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from launch.bench.child import in_child
from launch.bench.policy_time import policy_ms
from learners.config import DrqConfig
from learners.presets import DRQ
from robot.contract import PREVIOUS_ACTION, ImageTerm, ObservationTerm, TaskContract
from robot.messages import Actor
from robot.spec import ActionTerm

TRANSITIONS: Final = 100_000
CAMERAS: Final = tuple(ImageTerm(name=name, height=128, width=128) for name in ("left", "right"))
BATCH: Final = 256
MESSAGE: Final = 16
"""Frames written at a time."""
DRAWN_S: Final = 3.0

REAL_TIME: Final = DrqConfig(
    critics=2,
    batch=64,
    filters=(16, 16, 16, 16),
    strides=(2, 2, 2, 1),
    features=50,
    n_step=3,
    updates_per_step=1,
    warmup=0,
    capacity=TRANSITIONS,
    prior_capacity=2,
)
"""A quarter of the minibatch and a thirtieth of the encoder's arithmetic, on 64 x 64 and two pictures."""


def cases() -> dict[str, tuple[TaskContract, DrqConfig]]:
    """Whom to measure updating."""
    import msgspec

    paper = msgspec.structs.replace(DRQ, warmup=0, prior_capacity=2)
    return {
        "drq": (contract((ImageTerm(name="front", height=84, width=84, stack=3),)), paper),
        "small": (contract((ImageTerm(name="front", height=64, width=64, stack=2),)), REAL_TIME),
    }


def run(written: int, seconds: float, folder: Path | None) -> dict[str, float]:
    """``written`` frames on the disk of ``folder``, ``seconds`` of updates for each learner. Figures in one
    flat dictionary."""
    figures = in_child(_store, min(written, TRANSITIONS), folder, min(seconds, DRAWN_S))
    for name in cases():
        figures |= {f"{name}_{key}": value for key, value in in_child(_learn, name, seconds).items()}
    return {key: float(f"{value:.5g}") for key, value in figures.items()}


def _store(written: int, folder: Path | None, seconds: float) -> dict[str, float]:
    from learners.frames import Frames
    from learners.replay import Replay

    rng, seeing = np.random.default_rng(0), contract(CAMERAS)
    with tempfile.TemporaryDirectory(prefix="sandlot-bench-", dir=folder) as place:
        path = Path(place) / "practice.frames"
        before_mb = _memory_mb("RssAnon")
        frames = Frames(CAMERAS, TRANSITIONS, path)
        replay = Replay(seeing.step_dtype(), TRANSITIONS, frames)
        rows = _rows(seeing, written, rng)
        pictures = _pictures(seeing, MESSAGE, rng)
        begin = time.perf_counter()
        for start in range(0, written, MESSAGE):
            part = rows[start : start + MESSAGE]
            replay.add("s", part, None, pictures[: len(part)])
        frames.sync()
        write_s = time.perf_counter() - begin
        drawn, begin = 0, time.perf_counter()
        while (draw_s := time.perf_counter() - begin) < seconds:
            replay.sample_pictures(BATCH, rng, 1, 0.99)
            drawn += BATCH
        memory_mb, mapped_mb = _memory_mb("RssAnon") - before_mb, _memory_mb("RssFile")
        again = Replay(seeing.step_dtype(), TRANSITIONS, Frames(CAMERAS, TRANSITIONS, path))
        begin = time.perf_counter()
        again.add("s", rows)
        found_s = time.perf_counter() - begin
        return {
            "store_transitions_count": TRANSITIONS,
            "store_file_gb": frames.size_bytes / 1e9,
            "store_written_count": written,
            "store_written_disk_gb": path.stat().st_blocks * 512 / 1e9,
            "store_memory_mb": memory_mb,
            "store_mapped_mb": mapped_mb,
            "store_written_per_s": written / write_s,
            "store_drawn_per_s": drawn / draw_s,
            "store_drawn_gb_per_s": drawn / draw_s * 2 * frames.dtype.itemsize / 1e9,
            "store_found_again_per_s": written / found_s,
        }


def _learn(name: str, seconds: float) -> dict[str, float]:
    from learners.learner import Learner

    seeing, config = cases()[name]
    rng, learner = np.random.default_rng(0), Learner(seeing, config, seed=0)
    learner.add("s", _rows(seeing, 2_000, rng), _pictures(seeing, 2_000, rng))
    learner.pretrain(1)
    updates: list[float] = []
    draws: list[float] = []
    cpu: list[float] = []
    end = time.perf_counter() + seconds
    while not updates or time.perf_counter() < end:
        begin, begin_cpu = time.perf_counter(), time.process_time()
        batch = learner.experience.batch(rng)
        middle = time.perf_counter()
        learner.algorithm.update(batch)
        updates.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - begin_cpu)
        draws.append(middle - begin)
    return {
        "updates_per_s": 1.0 / min(updates),
        "updates_p50_per_s": 1.0 / float(np.median(updates)),
        "cpu_ms_per_update": 1e3 * min(cpu),
        "cpu_updates_per_s": 1.0 / min(cpu),
        "drawing_ms": 1e3 * min(draws),
        "drawing_ratio": min(draws) / min(updates),
        "drawing_p50_ratio": float(np.median(draws) / np.median(updates)),
        "policy_p50_ms": policy_ms(learner.export(1)),
    }


def contract(images: tuple[ImageTerm, ...]) -> TaskContract:
    """Of a robot with two actions that sees and feels nothing else."""
    names = ("speed", "steering")
    return TaskContract(
        robot={"robot": "bench"},
        task="see",
        policy_hz=20.0,
        observation=(ObservationTerm(name=PREVIOUS_ACTION, unit="1", scale=1.0, elements=names),),
        actions=tuple(ActionTerm(name=n, actuator=n, lower=-1.0, upper=1.0) for n in names),
        reward_terms=("reward",),
        images=images,
    )


def _rows(seeing: TaskContract, count: int, rng: np.random.Generator) -> NDArray[np.void]:
    """One long episode of noise."""
    rows = np.zeros(count, seeing.step_dtype())
    rows["step"], rows["actor"] = np.arange(count), Actor.POLICY
    rows["reward"], rows["action"] = rng.normal(size=count), rng.uniform(-1.0, 1.0, rows["action"].shape)
    return rows


def _pictures(seeing: TaskContract, count: int, rng: np.random.Generator) -> NDArray[np.void]:
    dtype = seeing.frame_dtype()
    return np.frombuffer(rng.bytes(count * dtype.itemsize), dtype)


def _memory_mb(kind: str) -> float:
    """Memory of this process [MB]: its own (RssAnon), or of files it has mapped (RssFile)."""
    lines = Path(f"/proc/{os.getpid()}/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{kind}:")) * 1024 / 1e6
