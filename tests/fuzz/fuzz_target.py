"""What is fuzzed, how much of it, and what came of it."""

from __future__ import annotations

import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

GROWTH_BYTES = 256 << 20
"""So much more memory than at its first cases a target may never need."""


@dataclass
class Tally:
    """``bytes``: given to the parser; ``taken``: how many times something was found whole and acted on, and
    ``refused``: how many times not, by what was said. A campaign in which nothing is taken proves nothing."""

    bytes: int = 0
    cases: int = 0
    taken: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


Case = Callable[[random.Random, Tally], None]
"""One case: everything follows from the generator. Raises AssertionError, or whatever escaped a parser."""


@dataclass(frozen=True)
class Target:
    """``start``: given an empty folder, makes the function that runs a case. ``share``: of a campaign's
    bytes, relative to the others."""

    name: str
    start: Callable[[Path], Case]
    share: float


class FuzzError(Exception):
    """A property does not hold; the message says how to run that case again."""


def generator(seed: int, target: str, case: int) -> random.Random:
    """The generator of one case, which can so be run alone."""
    return random.Random(f"{seed} {target} {case}")


def run_target(
    target: Target, folder: Path, seed: int, byte_count: float, only_case: int | None = None
) -> Tally:
    """Run cases until ``byte_count`` bytes have been through. Raises FuzzError at the first that fails."""
    tally = Tally()
    begun = time.monotonic()
    run = target.start(folder)
    settled = 0
    while tally.bytes < byte_count:
        case = tally.cases if only_case is None else only_case
        before = tally.bytes
        try:
            run(generator(seed, target.name, case), tally)
        except Exception as error:
            again = f"python tests/fuzz --only {target.name} --seed {seed} --case {case}"
            raise FuzzError(f"{type(error).__name__}: {error}\n  run it again: {again}") from error
        tally.cases += 1
        if only_case is not None:
            break
        if tally.bytes == before:
            tally.bytes += 1  # so that a case without bytes cannot run for ever
        if tally.cases == 50:
            settled = _peak_bytes()
        if settled and _peak_bytes() - settled > GROWTH_BYTES:
            raise FuzzError(f"{target.name}: memory grew by {(_peak_bytes() - settled) >> 20} MiB")
    tally.seconds = time.monotonic() - begun
    return tally


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
