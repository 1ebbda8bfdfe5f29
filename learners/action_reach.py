"""The contract's slew limit and filter, differentiable: a torch mirror of ``ActionMap.reach``.

Entropy is measured on the raw action in (-1, 1), not on the executed one. The two log-densities differ by
``log(smoothing * (high - low) / 2)``, which depends on the previous action only, so the actor's gradient is
the same; but in executed units a tight slew limit would put RLPD's target entropy above what even a uniform
policy has (the temperature would grow without bound), and the entropy backup would pay for keeping away from
the ends of the range, where the interval is shorter.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robot.contract import ActionMap, TaskContract


class ActionReach:
    """Raw policy output and previous action to the action as executed, on batches."""

    def __init__(self, contract: TaskContract) -> None:
        numpy_map = ActionMap(contract.actions, contract.policy_hz)
        self.max_change = torch.as_tensor(numpy_map.max_change, dtype=torch.get_default_dtype())
        self.smoothing = torch.as_tensor(numpy_map.smoothing, dtype=torch.get_default_dtype())
        # With a history, elements are oldest first: the newest action comes last.
        self.previous_columns = slice(
            contract.previous_action.stop - contract.action_size, contract.previous_action.stop
        )

    def previous(self, observation: Tensor) -> Tensor:
        """The previous action, (N, n_actions), in observations in physical units, (N, observation_size)."""
        return observation[..., self.previous_columns]

    def __call__(self, raw: Tensor, previous: Tensor) -> Tensor:
        """``raw`` in [-1, 1] addresses the interval reachable from ``previous``; shapes (..., n_actions)."""
        low = torch.clamp(previous - self.max_change, min=-1.0)
        high = torch.clamp(previous + self.max_change, max=1.0)
        target = low + (high - low) * (raw + 1.0) * 0.5
        return previous + self.smoothing * (target - previous)

    def raw(self, action: Tensor, previous: Tensor) -> Tensor:
        """The raw action in [-1, 1] whose executed one is nearest to ``action``; shapes (..., n_actions)."""
        low = torch.clamp(previous - self.max_change, min=-1.0)
        high = torch.clamp(previous + self.max_change, max=1.0)
        target = previous + (action - previous) / self.smoothing
        return torch.clamp(2.0 * (target - low) / (high - low) - 1.0, -1.0, 1.0)

    def slope(self, previous: Tensor) -> Tensor:
        """The executed action's derivative by the raw one, elementwise, (..., n_actions)."""
        low = torch.clamp(previous - self.max_change, min=-1.0)
        high = torch.clamp(previous + self.max_change, max=1.0)
        return self.smoothing * (high - low) * 0.5
