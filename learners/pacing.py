"""Update-to-data ratio, held: so many updates per environment step, no more and no fewer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Pacing:
    """How many update steps are owed for the environment steps that have arrived.

    One update step is what one environment step earns (``updates`` critic updates). The first ``warmup``
    environment steps earn none. When more than ``backlog`` are owed the oldest are given up, and counted, so
    that a learner that is too slow for its settings says so rather than fall behind without end.
    """

    updates: int
    warmup: int
    backlog: int
    received: int = 0
    """Environment steps that have arrived."""
    done: int = 0
    """Update steps made for them."""
    given_up: int = 0
    """Update steps owed and never made."""

    def due(self) -> int:
        """Update steps to make now; 0 means wait for more data."""
        owed = self.owed
        if owed > self.backlog:
            self.given_up += owed - self.backlog
            owed = self.backlog
        return max(owed, 0)

    @property
    def owed(self) -> int:
        """Update steps earned and not yet made or given up; negative: ahead (after a resume on less data)."""
        return max(self.received - self.warmup, 0) - self.given_up - self.done

    @property
    def ratio(self) -> float:
        """Critic updates made per environment step since the warm-up; ``updates`` while it is held."""
        earned = max(self.received - self.warmup, 0)
        return self.updates * self.done / earned if earned else 0.0

    def describe(self) -> str:
        """One line for a person."""
        if self.received < self.warmup:
            return f"warming up: {self.received} of {self.warmup} steps"
        lost = f", {self.given_up} given up" if self.given_up else ""
        if self.owed > 0:
            return f"behind by {self.owed} steps{lost}; ratio {self.ratio:.2f} of {self.updates}"
        return f"waiting for data{lost}; ratio {self.ratio:.2f} of {self.updates}"
