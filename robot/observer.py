"""From a task's momentary observation to the contract's observation vector, with history stacked.

One definition for the pilot, the twin and offline recomputation, so that they cannot drift apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robot.contract import TaskContract
from robot.errors import ContractMismatchError
from robot.task import Array, Task


class Observer:
    """Calls the task once a step and stacks each term over its ``history``, oldest first.

    A task's ``observe`` gives one frame: every term's elements once, in order. When no term has history, that
    frame is the observation.
    """

    def __init__(self, task: Task, contract: TaskContract) -> None:
        if task.observation != contract.observation:
            raise ContractMismatchError(
                f"task {task.name!r} observes {[t.name for t in task.observation]}, "
                f"the contract says {[t.name for t in contract.observation]}; "
                "build the contract from this task"
            )
        self._task = task
        self._size = contract.observation_size
        self._frame_size = sum(len(t.elements) for t in contract.observation)
        self._parts: list[tuple[slice, slice]] = []
        self._stacked = any(t.history > 1 for t in contract.observation)
        frame = start = 0
        for term in contract.observation:
            n = len(term.elements)
            self._parts.append((slice(frame, frame + n), slice(start, start + term.size)))
            frame, start = frame + n, start + term.size
        self._history = np.zeros(self._size, np.float32)
        self._fresh = True

    def reset(self, state: Array) -> None:
        """Start an episode: the first frame fills the whole history."""
        self._task.reset(state)
        self._fresh = True

    def observe(self, state: Array, previous_action: Array) -> NDArray[np.float32]:
        """The observation in physical units, shape (observation_size,). Call once a step.

        Raises ContractMismatchError if the task gives another number of values than it declared.
        """
        frame = self._task.observe(state, previous_action)
        if frame.shape != (self._frame_size,):
            raise ContractMismatchError(
                f"task {self._task.name!r} observed shape {frame.shape}; its terms declare "
                f"({self._frame_size},)"
            )
        if not self._stacked:
            return frame
        history = self._history
        for source, target in self._parts:
            stack, n = history[target], source.stop - source.start
            if self._fresh:
                stack.reshape(-1, n)[:] = frame[source]
            else:
                stack[:-n] = stack[n:].copy()
                stack[-n:] = frame[source]
        self._fresh = False
        return history.copy()
