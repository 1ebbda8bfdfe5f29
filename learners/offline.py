"""Learn from what robots have streamed, without a robot: any algorithm, from a journal alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from learners.checkpoint import has_checkpoint
from learners.environments.prior_folder import copy_prior, journal_bytes, noted_rows
from learners.learner import Learner
from robot.errors import ContractMismatchError, SandlotError
from robot.frame_file import write_atomically

CHECKPOINT_EVERY: Final = 1_000
"""Update steps between checkpoints, each with a line for a person."""


def learn_offline(
    learner: Learner, journals: Path, directory: Path, steps: int, tell: Callable[[str], None]
) -> Path:
    """Make ``steps`` update steps on the journals below a folder; returns the policy's ONNX file.

    Who acted is as the robot noted it: people and scripts demonstrated, policies practised. The rows are
    copied into ``directory`` first. What has a checkpoint there is continued, bit for bit and with the rows
    that it began with, if the learner is made with the same settings and seed; else ContractMismatchError.
    """
    prior, checkpoints = directory / "prior", directory / "checkpoints"
    begun = has_checkpoint(checkpoints)
    if not begun:
        copy_prior(journals, prior, learner.contract, tell)
    elif (more := journal_bytes(journals) - journal_bytes(prior)) > 0:
        tell(
            f"{journals} has {more} bytes that were not there when this began, and are left out; to learn "
            f"from them, too, move {directory} away"
        )
    for session, rows in noted_rows(prior, learner.contract.step_dtype()):
        learner.add(session, rows)
    if learner.experience.transitions == 0:
        what = "demonstration" if learner.config.prior_only else "transition"
        raise SandlotError(
            f"{journals}: its journals hold no {what} to learn from; demonstrate or practise first"
        )
    if begun:
        seed = learner.load(checkpoints)["seed"]
        if seed != learner.seed:
            raise ContractMismatchError(
                f"{directory} was begun with seed {seed}, and this is {learner.seed}; go on with that one, "
                "or move the folder away"
            )
        tell(f"going on from step {learner.pretrained}")
    while learner.pretrained < steps:
        metrics = learner.pretrain(1)
        if learner.pretrained % CHECKPOINT_EVERY == 0 or learner.pretrained == steps:
            learner.save(checkpoints, {"seed": learner.seed})
            shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            tell(f"step {learner.pretrained} of {steps}: {shown}")
    policy = directory / "policy.onnx"
    write_atomically(policy, learner.export(learner.pretrained))
    return policy
