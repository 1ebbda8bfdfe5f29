"""All that learning changes, as arrays: what a checkpoint holds and a resumed run takes over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray

from learners.engine.adam import Adam
from learners.engine.parameters import Parameters


class State(NamedTuple):
    """Everything by name, a counter of updates and the generator of noise."""

    parameters: Mapping[str, Parameters]
    optimisers: Mapping[str, Adam]
    steps: torch.Tensor
    generator: torch.Generator

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As arrays that share memory where they can."""
        arrays = {name: parameters.flat.numpy() for name, parameters in self.parameters.items()}
        arrays |= {"steps": self.steps.numpy(), "generator": self.generator.get_state().numpy()}
        for name, optimiser in self.optimisers.items():
            arrays |= {f"optimiser.{name}.{key}": value for key, value in optimiser.arrays().items()}
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` gave."""
        for name, parameters in self.parameters.items():
            parameters.copy_(torch.from_numpy(arrays[name]))
        self.steps.copy_(torch.from_numpy(arrays["steps"]))
        self.generator.set_state(torch.from_numpy(arrays["generator"].copy()))
        for name, optimiser in self.optimisers.items():
            optimiser.restore({key: arrays[f"optimiser.{name}.{key}"] for key in optimiser.arrays()})
