"""A serial port that is not one: the host's end of a pseudo-terminal, under a name that stays the same."""

from __future__ import annotations

import contextlib
import os
import tty
from pathlib import Path

_CHUNK = 4096


class PseudoTerminal:
    """A pty in raw mode whose slave is reached through the symbolic link ``link``.

    The slave's number changes each time; the link does not. This end keeps the slave open as well, so that
    a client may come and go: without that, reads here fail (EIO) between two clients and the terminal falls
    back to echoing. The link leads through this process's own open file: the system gives a dead host's
    number to the next terminal that anybody opens, and a client that comes back must not find that one.
    """

    def __init__(self, link: Path) -> None:
        self.link = link
        self.overruns = 0
        """Bytes that nobody read in time, lost as on a real line."""
        self._master = self._slave = -1

    @property
    def is_open(self) -> bool:
        return self._master >= 0

    def open(self) -> None:
        """Make the pty and point the link at it, replacing one that an earlier run left behind."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.link.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.link.with_name(f".{self.link.name}-{os.getpid()}")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(self._own_file())
        temporary.replace(self.link)

    def read(self) -> bytes:
        """What the client has written, possibly nothing."""
        try:
            return os.read(self._master, _CHUNK)
        except OSError:
            return b""  # nothing there (EAGAIN), or no client (EIO)

    def write(self, data: bytes) -> None:
        """Hand bytes to the client; those it has no room for are lost."""
        try:
            written = os.write(self._master, data)
        except OSError:
            written = 0
        self.overruns += len(data) - written

    def close(self) -> None:
        """Pull the plug: the link goes, and a client that has the port open gets a hang-up."""
        if not self.is_open:
            return
        with contextlib.suppress(OSError):
            if self.link.readlink() == self._own_file():
                self.link.unlink()
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    def _own_file(self) -> Path:
        return Path(f"/proc/{os.getpid()}/fd/{self._slave}")
