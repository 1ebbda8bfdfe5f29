"""The temperature: what entropy is worth, steered so that the actor has as much of it as wanted."""

from __future__ import annotations

import math
from typing import Final

from learners.engine.adam import Adam
from learners.engine.kernels import Kernels
from learners.engine.parameters import Parameters

LOG: Final = "log_temperature"
"""The name of the parameter."""


class Temperature:
    """Learned by its logarithm."""

    def __init__(self, initial: float, rate: float, kernels: Kernels) -> None:
        self.parameters = Parameters({LOG: (1,)})
        self.parameters.flat[0] = math.log(initial)
        self._gradient = self.parameters.gradients()
        average = Parameters({LOG: (1,)})  # nobody asks for it
        self.optimiser = Adam(self.parameters, self._gradient, average, 1.0, rate, kernels)

    @property
    def value(self) -> float:
        """In units of reward per nat."""
        return float(self.parameters.flat[0].exp())

    def descend(self, excess: float) -> None:
        """One step of Adam on ``value * excess``, with ``excess`` the entropy above its target [nat]."""
        self._gradient[LOG][0] = self.value * excess
        self.optimiser.step()
