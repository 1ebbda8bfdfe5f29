"""A line that a person types while they record: a note on what happens."""

from __future__ import annotations

from typing import Final, Protocol

from robot.messages import EVENT_DTYPE

MOST_BYTES: Final = EVENT_DTYPE["text"].itemsize
"""An event has no room for more."""
KEEP: Final = ("\n", "\r")
ERASE: Final = ("\x7f", "\b")
ERASE_ALL: Final = "\x15"
"""What a terminal sends for Ctrl-U."""


class Notes(Protocol):
    """Where notes go."""

    def may_begin(self) -> bool:
        """Whether typing is in order: nobody has hold of the robot."""

    def draft(self, text: str | None) -> None:
        """Show what has been typed so far; None: nobody types any more."""

    def keep(self, now_ns: int, text: str) -> None:
        """A note is finished."""


class NoteLine:
    """Takes one key after the other, as ``Terminal`` names them: bytes, of which several make an umlaut."""

    def __init__(self) -> None:
        self._bytes = b""

    @property
    def text(self) -> str:
        return self._bytes.decode(errors="ignore")

    def type(self, key: str) -> bool:
        """Whether the line is finished by this key."""
        if key in KEEP:
            return True
        if key in ERASE:
            self._bytes = self.text[:-1].encode()
        elif key == ERASE_ALL:
            self._bytes = b""
        elif len(key) == 1 and (key >= " ") and len(self._bytes) < MOST_BYTES:
            self._bytes += key.encode("latin-1")
        return False
