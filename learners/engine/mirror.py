"""What is on the host and on a device, copied when somebody asks for what the other has changed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from learners.engine.adam import Adam
from learners.engine.device_adam import DeviceAdam
from learners.engine.parameters import Parameters


class Mirror:
    """Pairs of the host's and the device's, by name; the host's are the newer ones at first."""

    def __init__(
        self,
        parameters: Mapping[str, tuple[Parameters, Parameters]],
        optimisers: Mapping[str, tuple[Adam, DeviceAdam]],
    ) -> None:
        self._parameters, self._optimisers = parameters, optimisers
        self._newer_there: set[str] = set()
        self._newer_here = True

    def changed_there(self) -> None:
        """The device's have changed, all of them."""
        self._newer_there = {*self._parameters, *(_moments(name) for name in self._optimisers)}

    def changed_here(self) -> None:
        """The host's have changed, and the device's do not count."""
        self._newer_there.clear()
        self._newer_here = True

    def push(self) -> None:
        """Bring the device up to date."""
        if not self._newer_here:
            return
        for here, there in self._parameters.values():
            there.flat.copy_(here.flat)
        for optimiser, mirrored in self._optimisers.values():
            arrays = optimiser.arrays()
            mirrored.first.flat.copy_(torch.from_numpy(arrays["first"]))
            mirrored.second.flat.copy_(torch.from_numpy(arrays["second"]))
            mirrored.steps.fill_(float(arrays["steps"]))
        self._newer_here = False

    def pull(self, *names: str) -> None:
        """Bring the host's parameters of these names up to date; everything without any."""
        for name, (here, there) in self._parameters.items():
            if name in self._newer_there and (not names or name in names):
                here.copy_(there.flat)
                self._newer_there.discard(name)
        for name, (optimiser, mirrored) in self._optimisers.items():
            if _moments(name) in self._newer_there and not names:
                first, second = (flat.cpu().numpy() for flat in (mirrored.first.flat, mirrored.second.flat))
                steps = np.array(optimiser.arrays()["steps"])  # counted here: there it is a float
                optimiser.restore({"first": first, "second": second, "steps": steps})
                self._newer_there.discard(_moments(name))


def _moments(name: str) -> str:
    return f"optimiser.{name}"
