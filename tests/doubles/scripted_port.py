"""A port that says what it is told to, takes what it has room for, and can be lost."""

from __future__ import annotations

from robot.errors import PortError


class ScriptedPort:
    def __init__(self) -> None:
        self.present = True
        self.room = 1 << 20
        self.incoming = b""
        self.written = b""
        self.opens = 0
        self._open = False

    @property
    def is_open(self) -> bool:
        return self._open

    def open(self) -> None:
        self.opens += 1
        if not self.present:
            raise PortError("the scripted port is absent")
        self._open = True

    def read(self) -> bytes:
        self._check()
        data, self.incoming = self.incoming, b""
        return data

    def write(self, data: bytes) -> int:
        self._check()
        count = min(len(data), self.room)
        self.room -= count
        self.written += data[:count]
        return count

    def close(self) -> None:
        self._open = False

    def take(self) -> bytes:
        """What was written since the last call."""
        data, self.written = self.written, b""
        return data

    def _check(self) -> None:
        if not (self.present and self._open):
            self._open = False
            raise PortError("the scripted port was lost")
