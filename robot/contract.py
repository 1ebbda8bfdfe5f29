"""The contract between a task's policy and everyone who handles it.

Observation and action layouts are data. The pilot builds observations from them, the learner normalises and
slew-limits by them, the twin and the ONNX file carry them; one definition, so that they cannot drift apart.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from robot.errors import ContractMismatchError, SpecError
from robot.layout import Field, Layout, Struct
from robot.plain_data import differences, digest
from robot.spec import ActionTerm, RobotSpec


class ObservationTerm(Struct):
    """A named part of the observation. A network sees ``(value - offset) / scale``, stacked over ``history``
    policy steps, oldest first."""

    name: str
    unit: str
    scale: float
    offset: float = 0.0
    elements: tuple[str, ...] = ("",)
    history: int = 1

    @property
    def size(self) -> int:
        return len(self.elements) * self.history

    def field(self) -> Field:
        names = (
            self.elements
            if self.history == 1
            else tuple(f"{e}_{k}" if e else str(k) for k in range(self.history) for e in self.elements)
        )
        return Field(name=self.name, unit=self.unit, elements=names)


POLICY_TENSORS = ("observation", "noise", "action")
"""What a policy's file calls its inputs and its output; cameras are inputs beside them, by their names."""


class ImageTerm(Struct):
    """A camera's picture, 8 bits per channel. A network sees the newest ``stack`` of them, oldest first; an
    episode begins with its first picture in place of those before it."""

    name: str
    height: int
    width: int
    channels: int = 3
    stack: int = 1

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.channels, self.stack) < 1:
            raise SpecError(f"image {self.name!r}: sizes and stack must be at least 1; got {self}")
        if self.name in POLICY_TENSORS:
            raise SpecError(
                f"image {self.name!r}: a policy's file has {', '.join(POLICY_TENSORS)} of its own; give the "
                "camera another name"
            )


PREVIOUS_ACTION = "previous_action"
"""Every observation has this term: the last action as executed, [-1, 1], shape (n_actions,), unscaled."""


class TaskContract(Struct):
    """The robot's contract together with a task's observation, action, reward and cost layouts."""

    robot: dict[str, Any]
    task: str
    policy_hz: float
    observation: tuple[ObservationTerm, ...]
    actions: tuple[ActionTerm, ...]
    reward_terms: tuple[str, ...]
    cost_terms: tuple[str, ...] = ()
    images: tuple[ImageTerm, ...] = ()

    @property
    def observation_layout(self) -> Layout:
        return Layout(term.field() for term in self.observation)

    @property
    def observation_size(self) -> int:
        return sum(term.size for term in self.observation)

    @property
    def action_size(self) -> int:
        return len(self.actions)

    @property
    def previous_action(self) -> slice:
        """Where the previous action lies in the observation vector."""
        return self.observation_layout[PREVIOUS_ACTION]

    def normaliser(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Offset and scale of the observation, each shape (observation_size,)."""
        offset = [t.offset for t in self.observation for _ in range(t.size)]
        scale = [t.scale for t in self.observation for _ in range(t.size)]
        return np.array(offset, np.float32), np.array(scale, np.float32)

    def plain(self) -> dict[str, Any]:
        plain: dict[str, Any] = msgspec.to_builtins(self)
        if not self.images:
            del plain["images"]  # a contract without images has the hash it had before there were any
        return plain

    def hash(self) -> str:
        return digest(self.plain())

    def step_dtype(self) -> np.dtype[np.void]:
        return step_dtype(self)

    def frame_dtype(self) -> np.dtype[np.void]:
        """All cameras' pictures at one policy step, (height, width, channels) each."""
        return np.dtype([(i.name, "u1", (i.height, i.width, i.channels)) for i in self.images])


def task_contract(
    spec: RobotSpec,
    task: str,
    observation: tuple[ObservationTerm, ...],
    reward_terms: tuple[str, ...],
    cost_terms: tuple[str, ...] = (),
) -> TaskContract:
    """Bind a task's layouts to a robot."""
    return TaskContract(
        robot=spec.contract(),
        task=task,
        policy_hz=spec.rates.policy_hz,
        observation=observation,
        actions=spec.actions,
        reward_terms=reward_terms,
        cost_terms=cost_terms,
    )


def require_same(ours: TaskContract, theirs: TaskContract, who: str) -> None:
    """Raise ContractMismatchError with one line per difference unless the two contracts are equal."""
    lines = differences(ours.plain(), theirs.plain())
    if lines:
        shown = "\n  ".join(lines[:20]) + (f"\n  … and {len(lines) - 20} more" if len(lines) > 20 else "")
        raise ContractMismatchError(f"{who} was made for another contract; nothing was started:\n  {shown}")


def step_dtype(contract: TaskContract) -> np.dtype[np.void]:
    """One row of experience: the observation at a policy step, the action taken from it and what came of it.

    ``reward``, ``terminated`` and ``truncated`` belong to the action of the same row; the next observation is
    the next row's. An episode ends with a row whose ``last`` is set: it holds the final observation and no
    action, so every frame is stored once. Rows i and i+1 form a transition if they share ``session`` and
    ``episode`` and ``step`` is consecutive.
    """
    return np.dtype(
        [
            ("sequence", "<u8"),
            ("time_ns", "<i8"),
            ("episode", "<u4"),
            ("step", "<u4"),
            ("policy_version", "<u4"),
            ("actor", "u1"),
            ("terminated", "?"),
            ("truncated", "?"),
            ("last", "?"),
            ("altered", "?"),
            ("reward", "<f4"),
            ("observation", "<f4", (contract.observation_size,)),
            ("action", "<f4", (contract.action_size,)),
            ("reward_terms", "<f4", (len(contract.reward_terms),)),
            ("cost_terms", "<f4", (len(contract.cost_terms),)),
        ],
        align=True,
    )


class ActionMap:
    """The action terms' arithmetic in numpy: reachable interval, filter, and units. [-1, 1] is normalised.

    A policy's raw output u in [-1, 1] addresses the interval reachable from the previous action within the
    slew limit (as FastRLAP's range-restricted tanh does), so no output is ever clipped and the gradient never
    vanishes: ``a = previous + smoothing * (low + (high - low) * (u + 1) / 2 - previous)``.
    """

    def __init__(self, terms: tuple[ActionTerm, ...], policy_hz: float) -> None:
        self.terms = terms
        self.lower = np.array([t.lower for t in terms])
        self.upper = np.array([t.upper for t in terms])
        self.smoothing = np.array([t.smoothing for t in terms])
        span = self.upper - self.lower
        step = [np.inf if t.slew is None else t.slew / policy_hz for t in terms]
        self.max_change = np.minimum(2.0 * np.array(step) / span, 2.0)
        """Largest change per policy step in normalised units, shape (n_actions,)."""

    def reach(self, raw: NDArray[Any], previous: NDArray[Any]) -> NDArray[np.float64]:
        """Raw policy output in [-1, 1] and previous action to the executed one, shapes (..., n_actions)."""
        low = np.maximum(previous - self.max_change, -1.0)
        high = np.minimum(previous + self.max_change, 1.0)
        target = low + (high - low) * (raw + 1.0) * 0.5
        return np.asarray(previous + self.smoothing * (target - previous), np.float64)

    def limit(self, wanted: NDArray[Any], previous: NDArray[Any]) -> NDArray[np.float64]:
        """The executed action closest to a wanted one [-1, 1]: how demonstrations enter the contract."""
        low = np.maximum(previous - self.max_change, -1.0)
        high = np.minimum(previous + self.max_change, 1.0)
        target = np.clip(wanted, low, high)
        return np.asarray(previous + self.smoothing * (target - previous), np.float64)

    def to_units(self, action: NDArray[Any]) -> NDArray[np.float64]:
        """Normalised action to physical setpoints of the terms' actuators."""
        return np.asarray(self.lower + (action + 1.0) * 0.5 * (self.upper - self.lower), np.float64)

    def from_units(self, setpoint: NDArray[Any]) -> NDArray[np.float64]:
        """Physical setpoints to the normalised action, clipped to [-1, 1]."""
        return np.asarray(
            np.clip(2.0 * (setpoint - self.lower) / (self.upper - self.lower) - 1.0, -1.0, 1.0), np.float64
        )
