"""The contract's slew limit and filter, differentiable: a torch mirror of ``ActionMap.reach``.

Entropy is measured on the raw action in (-1, 1), not on the executed one. The two log-densities differ by
``log(smoothing * (high - low) / 2)``, which depends on the previous action only, so the actor's gradient is
the same; but in executed units a tight slew limit would put RLPD's target entropy above what even a uniform
policy has (the temperature would grow without bound), and the entropy backup would pay for keeping away from
the ends of the range, where the interval is shorter. For the same reason a growing range (``range_growth``)
narrows the interval, not the raw action: the actor, its entropy and its temperature know nothing of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from learners.range_growth import WHOLE, RangeGrowth
from robot.contract import ActionMap, TaskContract


class ActionReach:
    """Raw policy output and previous action to the action as executed, on batches."""

    def __init__(self, contract: TaskContract, growth: RangeGrowth = WHOLE) -> None:
        """``growth``: which part of the range there is at first."""
        numpy_map = ActionMap(contract.actions, contract.policy_hz)
        exact = torch.get_default_dtype()
        self.max_change = torch.as_tensor(numpy_map.max_change, dtype=exact)
        self.smoothing = torch.as_tensor(numpy_map.smoothing, dtype=exact)
        # With a history, elements are oldest first: the newest action comes last.
        self.previous_columns = slice(
            contract.previous_action.stop - contract.action_size, contract.previous_action.stop
        )
        self.neutral = torch.as_tensor(growth.neutral_actions(contract), dtype=exact)
        self.keep_to(growth.start)

    def keep_to(self, share: float) -> None:
        """From now on execute actions in this share of the range only, seen from the neutral one."""
        self.lowest = (1.0 - share) * self.neutral - share
        self.highest = (1.0 - share) * self.neutral + share

    def previous(self, observation: Tensor) -> Tensor:
        """The previous action, (N, n_actions), in observations in physical units, (N, observation_size)."""
        return observation[..., self.previous_columns]

    def __call__(self, raw: Tensor, previous: Tensor) -> Tensor:
        """``raw`` in [-1, 1] addresses what is reachable from ``previous`` of the range; shapes (...,
        n_actions)."""
        target = self._target(raw, previous)
        return previous + self.smoothing * (target - previous)

    def widened(self, raw: Tensor, previous: Tensor) -> Tensor:
        """The raw action that makes a robot, which knows of no range but the whole, execute the same."""
        return self._raw(self._target(raw, previous), previous)

    def raw(self, action: Tensor, previous: Tensor) -> Tensor:
        """The raw action in [-1, 1] whose executed one, in the whole range, is nearest to ``action``; shapes
        (..., n_actions)."""
        return self._raw(previous + (action - previous) / self.smoothing, previous)

    def slope(self, previous: Tensor) -> Tensor:
        """The executed action's derivative by the raw one, elementwise, (..., n_actions)."""
        low, high = self._interval(previous)
        return self.smoothing * (high - low) * 0.5

    def _target(self, raw: Tensor, previous: Tensor) -> Tensor:
        low, high = self._interval(previous)
        return low + (high - low) * (raw + 1.0) * 0.5

    def _raw(self, target: Tensor, previous: Tensor) -> Tensor:
        low, high = self._reachable(previous)
        return torch.clamp(2.0 * (target - low) / (high - low) - 1.0, -1.0, 1.0)

    def _reachable(self, previous: Tensor) -> tuple[Tensor, Tensor]:
        """By the slew limit."""
        low = torch.clamp(previous - self.max_change, min=-1.0)
        return low, torch.clamp(previous + self.max_change, max=1.0)

    def _interval(self, previous: Tensor) -> tuple[Tensor, Tensor]:
        """What is reachable of the range; if nothing is, what is nearest to it."""
        low, high = self._reachable(previous)
        return self.lowest.clamp(low, high), self.highest.clamp(low, high)
