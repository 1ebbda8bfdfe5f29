"""Work that a GPU is told once and then starts as one (CUDA graphs): between small operations it would wait
for the host to start the next."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UPS = 3
"""Libraries allocate at their first calls, which cannot be recorded."""


class Recorded:
    """``work`` on tensors that stay where they are; on a device that cannot record it is just called.

    Making one runs the work a few times: whatever it changes must be put back.
    """

    def __init__(self, work: Callable[[], Tensor], generator: torch.Generator) -> None:
        """``generator``: that of all random numbers in ``work``; its seed counts anew at each ``run``."""
        self._work = work
        self._graph: torch.cuda.CUDAGraph | None = None
        if generator.device.type != "cuda":
            return
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(generator)
        with torch.cuda.graph(self._graph):
            self._result = work()

    def run(self) -> Tensor:
        """What the work returns, valid until the next call."""
        if self._graph is None:
            return self._work()
        self._graph.replay()
        return self._result
