"""Adam, the running average that follows the weights, and the products' copies of both, in one pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from numpy.typing import NDArray
from torch import Tensor

from learners.engine.kernels import Kernels
from learners.engine.parameters import Parameters

DECAY_FIRST: Final = 0.9
DECAY_SECOND: Final = 0.999
EPSILON: Final = 1e-8
"""Kingma & Ba 2015, arXiv 1412.6980: the paper's, and every framework's, defaults."""

Step = Callable[[float, float], object]
"""A bound step of one tensor: called with the two factors that ``Adam.begin`` gives."""


def cosine_rate(rate: float, step: int, steps: int) -> float:
    """The learning rate of step number ``step`` (from 0) that falls to zero in ``steps`` along half a cosine
    (Loshchilov & Hutter 2017, arXiv 1608.03983); ``steps`` 0 keeps it."""
    return rate if steps == 0 else rate * 0.5 * (1.0 + math.cos(math.pi * min(step / steps, 1.0)))


class Adam:
    """Moments of one set of parameters. ``average`` moves ``share`` of the way to them at each step."""

    def __init__(
        self,
        parameters: Parameters,
        gradients: Mapping[str, Tensor],
        average: Parameters,
        share: float,
        rate: float,
        kernels: Kernels,
    ) -> None:
        shapes = {name: tuple(tensor.shape) for name, tensor in parameters.tensors.items()}
        self._parameters, self._gradients, self._average = parameters, gradients, average
        self._share, self._kernels = share, kernels
        self.rate = rate
        """Learning rate of the next step; whoever decays it sets it."""
        self._first, self._second = Parameters(shapes), Parameters(shapes)
        self._steps = torch.zeros((), dtype=torch.int64)
        self._whole = self.steps()

    def begin(self) -> tuple[float, float]:
        """Count a step and give its factors: the learning rate without the first moment's bias, and what
        takes the bias out of the second's square root."""
        self._steps += 1
        step = int(self._steps)
        return (
            self.rate / (1.0 - DECAY_FIRST**step),
            1.0 / math.sqrt(1.0 - DECAY_SECOND**step),
        )

    def count(self, steps: int) -> None:
        """So many steps have been made elsewhere."""
        self._steps += steps

    def steps(self, members: slice | None = None) -> list[Step]:
        """A step of each tensor, or of some members along its first dimension."""
        part = slice(None) if members is None else members
        return [
            self._kernels.adam(
                weight[part],
                self._gradients[name][part],
                (self._first.tensors[name][part], self._second.tensors[name][part]),
                self._average.tensors[name][part],
                self._operands(name, part),
                (DECAY_FIRST, DECAY_SECOND, EPSILON, self._share),
            )
            for name, weight in self._parameters.tensors.items()
        ]

    def step(self) -> None:
        """A step of everything."""
        factors = self.begin()
        for step in self._whole:
            step(*factors)

    def _operands(self, name: str, part: slice) -> tuple[Tensor, Tensor] | None:
        """The rounded copies of a tensor and its average, if it has any."""
        operands = (self._parameters.operands, self._average.operands)
        if name not in operands[0] or self._parameters.operand == self._parameters.flat.dtype:
            return None
        return operands[0][name][part], operands[1][name][part]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Moments and number of steps, as arrays that share memory."""
        tensors = {"first": self._first.flat, "second": self._second.flat, "steps": self._steps}
        return {name: tensor.numpy() for name, tensor in tensors.items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` gave."""
        for name, ours in self.arrays().items():
            ours[...] = arrays[name]
