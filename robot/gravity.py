"""The acceleration that data sheets and people call one g."""

from __future__ import annotations

from typing import Final

STANDARD_GRAVITY: Final = 9.80665
"""[m/s^2] (ISO 80000-3); what the twin's floor pulls with is its own, ``sim.car.GRAVITY``."""
