"""A terminal's keys, one by one, and which of them somebody has really pressed anew."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty

RELEASE_NS = 1_100_000_000
"""A key that comes again sooner than this may be one that is held [ns]: a terminal waits 0.25 to 1 s before
it repeats, and then repeats some 30 times a second."""


class Keyboard:
    """Reads ``descriptor`` (standard input) without waiting; a terminal is switched to single keys until
    ``close``. A terminal that has gone has no keys."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        self._poll = select.poll()  # select() cannot take descriptors from 1024 on
        self._poll.register(self._descriptor, select.POLLIN)
        self._saved = termios.tcgetattr(self._descriptor) if os.isatty(self._descriptor) else None
        if self._saved is not None:
            tty.setcbreak(self._descriptor)
        self._seen_ns: dict[str, int] = {}

    def read(self, now_ns: int) -> list[tuple[str, bool]]:
        """The keys since the last call, each with whether it is a new press: one that is stuck is pressed
        once, however often it repeats."""
        keys = []
        for key in self._take():
            last_ns = self._seen_ns.get(key)
            keys.append((key, last_ns is None or now_ns - last_ns > RELEASE_NS))
            self._seen_ns[key] = now_ns
        return keys

    def _take(self) -> str:
        with contextlib.suppress(OSError):
            if self._poll.poll(0):
                return os.read(self._descriptor, 256).decode(errors="ignore")
        return ""

    def close(self) -> None:
        """Give the terminal back as it was. Never raises."""
        if self._saved is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._saved)
