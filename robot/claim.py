"""A file that one process at a time may use."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

from robot.errors import SandlotError


class ClaimedError(SandlotError):
    """Somebody else has it."""


def claim(path: Path) -> BinaryIO:
    """Be the only one who has claimed ``path``, which is made if need be, until what is returned is closed or
    dropped, or this process ends. Raises ClaimedError if somebody else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ClaimedError(f"{path} is in use by another process; end that one, or wait for it") from None
    return file
