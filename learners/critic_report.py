"""The critics of a run's newest checkpoint, examined once and thoroughly."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from learners.avtd import Avtd
from learners.checkpoint import read_checkpoint
from learners.config import DrqConfig, LearnerConfig
from learners.critic_health import td_error
from learners.critic_kernel import kernel_figures, tangent_kernel
from learners.environments.prior_folder import noted_rows, prior_rows
from learners.journal import Journal
from learners.learner import Learner
from learners.offline_config import AlgorithmConfig
from learners.sac import Batch, Sac
from robot.contract import TaskContract
from robot.errors import SandlotError
from robot.layout import Struct

PAIRS: Final = 128
"""State-action pairs of a kernel: its cost grows with their number and the weights', its ratios hardly."""
DRAWS: Final = 8
"""Held-out minibatches that the error is averaged over."""

TOO_EARLY: Final = "nothing to worry about so far; too little is held out to say more"


class CriticReport(Struct):
    """What was found; ``verdict`` says it in words, ``well`` in one."""

    updates: int
    held_out_steps: int
    held_out_error: float | None
    """Normalised (``critic_health.td_error``); None while too little is held out."""
    trained_error: float
    """The same on what was trained on."""
    value_min: float
    value_max: float
    value_lower_bound: float
    value_upper_bound: float
    row_ratio: float
    cosine: float
    verdict: str
    well: bool


def examine(run: Path) -> CriticReport:
    """``run``: a folder of ``sandlot learn``, a robot's run, or a learner's folder. Nothing in it is changed.

    Raises SandlotError if it has no whole checkpoint, or its algorithm no critics of this kind.
    """
    learner = load_learner(run)
    algorithm = learner.algorithm
    sac = algorithm.acting if isinstance(algorithm, Avtd) else cast(Sac, algorithm)
    rng = np.random.default_rng(0)
    batch = Batch(*(part[:1] for part in learner.experience.batch(rng)))
    trained = sac.assess(batch, 0)
    errors = []
    lowest, highest = float(trained.values.min()), float(trained.values.max())
    for draw in range(DRAWS):
        unseen = learner.experience.held_out_batch(rng)
        if unseen is not None:
            assessed = sac.assess(unseen, draw)
            errors.append(td_error(assessed))
            lowest = min(lowest, float(assessed.values.min()))
            highest = max(highest, float(assessed.values.max()))
    # The entropy bonus is at least today's, and values remember what it was.
    low, high = (
        extreme(a, b)
        for extreme, a, b in zip((min, max), sac.entropy_bonus, learner.health.bonus, strict=True)
    )
    bound = learner.experience.rewards.bound(sac.config.discount, low, high)
    inputs = sac.critic_inputs(batch)[0, :PAIRS]
    figures = []
    for member in range(sac.config.critics):
        weights = {name: tensor[member] for name, tensor in sac.critics.parameters.tensors.items()}
        kernel = tangent_kernel(weights, len(sac.config.hidden), inputs)
        figures.append(kernel_figures(kernel, (trained.target - trained.values[member])[:PAIRS]))
    found: dict[str, Any] = {
        "held_out_error": float(np.mean(errors)) if errors else None,
        "trained_error": td_error(trained),
        "value_min": lowest,
        "value_max": highest,
        "value_lower_bound": bound.lower,
        "value_upper_bound": bound.upper,
        "row_ratio": float(np.mean([f.row_ratio for f in figures])),
        "cosine": float(np.mean([f.cosine for f in figures])),
    }
    worries = judge(found)
    return CriticReport(
        updates=learner.updates,
        held_out_steps=learner.experience.held_out.transitions,
        verdict="; ".join(worries) or ("the critics are well" if errors else TOO_EARLY),
        well=not worries,
        **found,
    )


def judge(found: dict[str, Any]) -> list[str]:
    """Reasons to worry, worst first."""
    worries = []
    width = found["value_upper_bound"] - found["value_lower_bound"]
    low, high = found["value_lower_bound"] - 0.1 * width, found["value_upper_bound"] + 0.1 * width
    if not (np.isfinite(found["value_min"]) and np.isfinite(found["value_max"])):
        worries.append("values are not finite: go back to an earlier checkpoint")
    elif not low <= found["value_min"] <= found["value_max"] <= high:
        worries.append("values are outside what rewards allow: diverging")
    if found["cosine"] < 0.0:
        worries.append("a small step at these pairs moves their values away from the targets")
    error = found["held_out_error"]
    if error is not None and error > 1.0:
        worries.append("on unseen episodes the critics are worse than a constant: overfitting, or too early")
    if found["trained_error"] > 1.0:
        worries.append(
            "on what they were trained on the critics are worse than a constant: they do not learn, "
            "or it is too early"
        )
    if found["row_ratio"] > 0.9:
        worries.append("the critics hardly tell one pair from another: every step moves all values alike")
    return worries


def load_learner(run: Path) -> Learner:
    """The learner of a run's newest checkpoint with all rows of its journals, whatever the run is doing.

    Raises SandlotError if there is none, or none of SAC or its relatives; DrQ's rows would need pictures.
    """
    home = next((p for p in (run, run / "learner") if (p / "checkpoints").is_dir()), None)
    if home is None:
        raise SandlotError(f"{run}: expected a run's folder with checkpoints/, or learner/checkpoints/")
    _, plain = read_checkpoint(home / "checkpoints")
    contract = msgspec.convert(plain["contract"], TaskContract)
    config: AlgorithmConfig = msgspec.convert(plain["config"], AlgorithmConfig)
    if isinstance(config, DrqConfig) or not isinstance(config, LearnerConfig):
        raise SandlotError(f"{run}: expected SAC or one of its relatives; got {type(config).__name__}")
    learner = Learner(contract, msgspec.structs.replace(config, device="cpu"), 0)
    learner.load(home / "checkpoints")
    for session, rows in _rows(home, contract):
        learner.add(session, rows)
    return learner


def _rows(home: Path, contract: TaskContract) -> Iterator[tuple[str, NDArray[np.void]]]:
    """As the learner got them. From copies: opening a journal cuts off what a writer has not finished."""
    with tempfile.TemporaryDirectory() as folder:
        copies = Path(folder)
        if (home / "prior").is_dir():
            shutil.copytree(home / "prior", copies / "prior")
            # To a run in an environment all of its prior data is demonstrations; one that learns from a
            # robot's journal alone goes by who acted.
            in_environment = (home / "settings.toml").exists()
            read = prior_rows if in_environment else noted_rows
            yield from read(copies / "prior", contract.step_dtype())
        for path in (home / "rows.journal", home / "journal" / "rows.journal"):
            if path.exists():
                journal = Journal(Path(shutil.copy(path, copies)), contract.step_dtype())
                yield from journal.replay()
                journal.close()
