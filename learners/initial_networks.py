"""Networks that another learner has learned, for an online one to begin with: RLPD with the actor and critics
of IQL, or the actor of behaviour cloning, in place of random ones.

Only what both have is taken over: weights, not the optimisers' moments and not the temperature. The actor's
mean is squashed alike in all of them, so that the deterministic policy is the same; IQL's noise is added
after the tanh and now comes before it, hence is smaller or the same. Whether it helps is to be measured:
going on online from what was learned offline can collapse (Luo et al. 2023, arXiv 2303.17396).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from learners.checkpoint import read_checkpoint
from learners.sac import Sac
from robot.errors import ContractMismatchError, SandlotError
from robot.plain_data import differences

ACTOR: Final = ("hidden",)
CRITICS: Final = (
    "hidden",
    "critics",
    "layer_norm",
    "spectral_norm",
    "discount",
    "n_step",
    "reward_scale",
    "reward_shift",
)
"""Settings that must be the same: of the networks' shapes, and of what values are of."""
SAC_S: Final[Mapping[str, Any]] = {"reward_scale": 1.0, "reward_shift": 0.0}
IQL_S: Final[Mapping[str, Any]] = {"layer_norm": True, "spectral_norm": False}
"""What is no setting there."""


def find_checkpoint(path: Path) -> Path:
    """``path``, or the checkpoints of the run in this folder."""
    return path / "checkpoints" if (path / "checkpoints").is_dir() else path


def begin_with(sac: Sac, ours: Mapping[str, Any], path: Path) -> None:
    """Give ``sac``, whose settings are ``ours``, the networks of a checkpoint or of the newest in a folder.

    Raises ContractMismatchError if they are of another contract or shape, or values of other rewards;
    SandlotError if there are none. Nothing is changed then.
    """
    arrays, plain = read_checkpoint(find_checkpoint(path))
    theirs = plain["config"]
    family = theirs["family"]
    if family not in ("bc", "iql"):
        raise SandlotError(f"{path}: expected a checkpoint of bc or iql to begin with; got one of {family}")
    names = ACTOR if family == "bc" else CRITICS
    lines = differences(
        {"contract": sac.contract.plain(), **_settings(names, {**SAC_S, **ours})},
        {"contract": plain["contract"], **_settings(names, {**IQL_S, **theirs})},
    )
    if lines:
        raise ContractMismatchError(
            f"{path}: the networks to begin with were learned with another contract or other settings:\n  "
            + "\n  ".join(lines[:20])
        )
    taken = {"actor": arrays["published"], "published": arrays["published"]}
    if family == "iql":
        taken |= {name: arrays[name] for name in ("critics", "targets")}
    sac.restore({**sac.arrays(), **taken})


def _settings(names: tuple[str, ...], found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in names}
