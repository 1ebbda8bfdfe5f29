"""All targets, and how a campaign's bytes are divided among them."""

from __future__ import annotations

from collections.abc import Sequence

import fuzz_network
import fuzz_people
import fuzz_serial
import fuzz_storage
from fuzz_target import Target

TARGETS: tuple[Target, ...] = (
    *fuzz_serial.TARGETS,
    *fuzz_network.TARGETS,
    *fuzz_people.TARGETS,
    *fuzz_storage.TARGETS,
)


def portions(targets: Sequence[Target], byte_count: float) -> list[tuple[Target, float]]:
    """Each target with its bytes."""
    whole = sum(t.share for t in targets)
    return [(t, byte_count * t.share / whole) for t in targets]
