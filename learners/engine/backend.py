"""What computes the networks of one algorithm."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from learners.config import CommonConfig
from learners.engine.kernels import Kernels, load_kernels
from learners.engine.precision import operand_type
from learners.engine.workers import Workers


@dataclass(frozen=True)
class Backend:
    """Kernels, the threads that run them, the type of hidden layers' operands, and the generator of noise."""

    kernels: Kernels
    workers: Workers
    operand: torch.dtype
    generator: torch.Generator
    slow: str | None = None
    """A line for a person if updates are slower than they could be on this machine."""

    @classmethod
    def of(cls, config: CommonConfig, seed: int) -> Backend:
        """As the settings ask for, and the best that the machine has."""
        kernels, slow = load_kernels()
        operand, workers = operand_type(config.matmul), Workers(config.threads)
        return cls(kernels, workers, operand, torch.Generator().manual_seed(seed), slow)
