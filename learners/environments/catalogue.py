"""Environments by name: Gymnasium's, dm_control's under ``dm_control/`` and ours under ``sandlot/``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import partial
from typing import Final

from learners.environments.environment import Environment, Make
from learners.environments.point_circle import PointCircle
from learners.environments.swing_up import SwingUp
from robot.errors import SandlotError, nearest

OURS: Final[Mapping[str, Make]] = {"sandlot/PointCircle-v0": PointCircle, "sandlot/SwingUp-v0": SwingUp}


def find(name: str, pixels: int = 0) -> Make:
    """What makes the environment ``Hopper-v5``, ``dm_control/cheetah-run``, ``sandlot/PointCircle-v0`` or
    ``module:Name-v0``. ``pixels``: of a task of dm_control, the side of the picture that it shows in place of
    its numbers.

    Raises SandlotError with the nearest names if there is none, ModuleNotFoundError if Gymnasium or
    dm_control is not installed.
    """
    if name.startswith("sandlot/"):
        if name not in OURS:
            raise SandlotError(f"no environment {name!r}; {nearest(name, OURS)}")
        return OURS[name]
    if name.startswith("dm_control/"):
        from learners.environments.dm_control_suite import DmControl, names

        known = names()
        if name not in known:
            raise SandlotError(f"no dm_control task {name!r}; {nearest(name, known)}")
        return partial(DmControl, name, pixels)
    if pixels:
        raise SandlotError(
            f"{name}: only tasks of dm_control are shown as pictures (--pixels); a Gymnasium environment has "
            "to show them itself, such as with gymnasium.wrappers.AddRenderObservation"
        )
    import gymnasium

    module, _, registered = name.rpartition(":")
    try:
        if module:
            importlib.import_module(module)  # which registers it
        gymnasium.spec(registered)
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        close = nearest(name, gymnasium.registry)
        guess = close.startswith("did you mean") and not module
        hint = close if guess else str(error).strip().splitlines()[0]
        raise SandlotError(f"no environment {name!r}; {hint}") from None
    return partial(_make, name)


def _make(name: str) -> Environment:
    import gymnasium

    try:
        made: Environment = gymnasium.make(name)
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        raise SandlotError(f"{name} needs what is not installed here: {error}") from None
    return made
