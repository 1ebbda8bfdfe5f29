"""The engine's threads: each works on its own share of the critics, in its own core's cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch


class Workers:
    """``count`` workers, the caller being one of them. They sleep between tasks; what is computed does not
    depend on how many there are.

    Each is one thread to torch: its own pool would spin at the end of every product, next to a robot that
    needs the core, and would split products that fit one core's cache.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(
            max(count - 1, 1), "engine", initializer=torch.set_num_threads, initargs=(1,)
        )

    def run(self, tasks: Sequence[Callable[[], None]]) -> None:
        """At most ``count`` tasks at the same time; returns when all are done."""
        others = [self._pool.submit(task) for task in tasks[1:]]
        tasks[0]()
        for other in others:
            other.result()

    def shares(self, size: int) -> list[slice]:
        """``range(size)`` in as many equal pieces as there are workers for, none of them empty."""
        pieces = min(self.count, size)
        return [slice(size * k // pieces, size * (k + 1) // pieces) for k in range(pieces)]
