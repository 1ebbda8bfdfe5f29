"""A written sequence of inputs as an input device: what a person would do, again and again the same."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from robot.errors import SpecError, nearest
from robot.layout import Struct
from robot.messages import HAND_PRESSES, InputKind
from robot.plain_data import decode_struct
from robot.spec import RobotSpec
from robot.teleop.device import Reading


class ScriptStep(Struct):
    """From ``at_s`` after the script began: ``axes`` by actuator in [-1, 1], the others at rest; ``press``es
    of ``hand_dtype``, once; ``connected``: as a device that is there."""

    at_s: float
    held: bool = True
    axes: dict[str, float] = msgspec.field(default_factory=dict)
    press: tuple[str, ...] = ()
    estop: bool = False
    connected: bool = True


class Script(Struct):
    """``steps`` in order of time; the last one lasts. TOML: ``[[steps]]`` tables."""

    steps: tuple[ScriptStep, ...]


def load_script(path: Path) -> Script:
    """Raises SpecError for a file that is no script."""
    try:
        return decode_struct(tomllib.loads(path.read_text()), Script, str(path))
    except FileNotFoundError:
        raise SpecError(f"{path} does not exist; a script is a TOML file of [[steps]]") from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from None


class ScriptDevice:
    """Begins at its first reading. Raises SpecError for what the robot has not got."""

    kind = InputKind.SCRIPT
    reason = "the script says so"

    def __init__(self, spec: RobotSpec, script: Script) -> None:
        self._names = [actuator.name for actuator in spec.actuators]
        for step in script.steps:
            for name in step.axes:
                if name not in self._names:
                    raise SpecError(f"script: no actuator {name!r}; {nearest(name, self._names)}")
            for name in step.press:
                if name not in HAND_PRESSES:
                    raise SpecError(f"script: nothing is called {name!r}; {nearest(name, HAND_PRESSES)}")
        self._steps = sorted(script.steps, key=lambda step: step.at_s)
        self._began_ns: int | None = None
        self._input_ns = 0
        self._next = 0

    def descriptors(self) -> Sequence[int]:
        return ()

    def read(self, now_ns: int) -> Reading:
        """What the script says now."""
        if self._began_ns is None:
            self._began_ns = now_ns
        presses: list[str] = []
        while self._next < len(self._steps):
            step = self._steps[self._next]
            if (now_ns - self._began_ns) * 1e-9 < step.at_s:
                break
            self._next += 1
            self._input_ns = now_ns
            presses += step.press
        if self._next == 0:
            return Reading(np.zeros(len(self._names)), False, 0)
        step = self._steps[self._next - 1]
        axes = np.array([step.axes.get(name, 0.0) for name in self._names])
        return Reading(axes, step.held, self._input_ns, step.connected, tuple(presses), step.estop)

    def close(self) -> None:
        return
