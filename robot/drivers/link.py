"""A driver's port and its health together: open, lost, and opened again."""

from __future__ import annotations

from robot.errors import PortError
from robot.interface import LinkHealth, Port

RETRY_NS = 500_000_000
"""Between attempts to open a lost port again."""


class Link:
    """Keeps ``health.state`` true to ``port``. A lost port is a state, never an exception that gets out."""

    def __init__(self, port: Port, health: LinkHealth) -> None:
        self.port = port
        self._health = health
        self._retry_ns = 0

    @property
    def is_open(self) -> bool:
        return self._health.state == "open"

    def open(self) -> None:
        """Raises PortError."""
        self.port.open()
        self._health.state = "open"

    def lose(self, now_ns: int, error: PortError) -> None:
        """The port has failed in use."""
        self.port.close()
        self._health.state = "lost"
        self._health.count("port_lost", str(error))
        self._retry_ns = now_ns + RETRY_NS

    def reopen(self, now_ns: int) -> bool:
        """Whether a lost port has just been opened again; tried at most every ``RETRY_NS``."""
        if self._health.state != "lost" or now_ns < self._retry_ns:
            return False
        self._retry_ns = now_ns + RETRY_NS
        try:
            self.open()
        except PortError as error:
            self._health.last_error = str(error)
            return False
        self._health.reconnections += 1
        return True

    def close(self) -> None:
        self.port.close()
        self._health.state = "closed"
