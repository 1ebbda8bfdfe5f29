"""The root of every error this project raises on purpose."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SandlotError(Exception):
    """Says what was expected, what came, and what to do about it."""


class SpecError(SandlotError):
    """A robot, course or task description is wrong."""


class ContractMismatchError(SandlotError):
    """Two sides disagree on names, order, units, rates or limits."""


class PortError(SandlotError):
    """A port is absent, busy, not permitted or lost."""


class WireError(SandlotError):
    """Bytes from another process are not a message of this schema."""


class SharedMemoryError(SandlotError):
    """A mailbox or ring is absent or of another layout."""


class PolicyError(SandlotError):
    """A policy file cannot be used."""


class BundleError(SandlotError):
    """A file is no bundle, is not whole, is not what its maker signed, or may not drive this robot."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the closest valid names, for error messages."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"known: {', '.join(known)}"
