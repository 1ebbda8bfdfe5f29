"""A terminal's keys, one by one: which were pressed anew, and, where the terminal tells, which were let go.

A terminal says what was typed, again and again for a key that is held, and nothing when it is let go. Some
(kitty, foot, Ghostty, WezTerm, recent Konsole) also speak the protocol of
https://sw.kovidgoyal.net/kitty/keyboard-protocol/, which tells presses, repeats and releases apart.
"""

from __future__ import annotations

import contextlib
import enum
import os
import re
import select
import sys
import termios
import tty
from dataclasses import dataclass
from typing import Final

RELEASE_NS: Final = 1_100_000_000
"""A key that comes again sooner than this may be one that is held [ns]: a terminal waits 0.25 to 1 s before
it repeats, and then repeats some 30 times a second."""

PUSH: Final = b"\x1b[>11u\x1b[?1004h"
"""Tell keys apart (1), what happened to them (2), of every key (8); and tell when the focus is lost."""
POP: Final = b"\x1b[?1004l\x1b[<u"
TEXT: Final = b"\x1b[>0u"
"""Besides, for a while: as any other terminal types."""
BACK: Final = b"\x1b[<u"
ASK: Final = b"\x1b[?u"
PING: Final = b"\x1b[5n"
"""Device status report: every terminal answers it."""
_SEQUENCE: Final = re.compile(rb"\x1b\[([?<>]?)([0-9;:]*)([A-Za-z~])|\x1bO([A-D])|\x1b|[^\x1b]")
_UNFINISHED: Final = re.compile(rb"\x1b(\[[?<>]?[0-9;:]*|O)?$")
_ARROWS: Final = {b"A": "up", b"B": "down", b"C": "right", b"D": "left"}
_LOCKS: Final = 0b11000000  # caps lock and num lock, of the modifiers


class Happened(enum.Enum):
    PRESSED = 1
    REPEATED = 2
    RELEASED = 3


@dataclass(frozen=True)
class Key:
    """``name``: the character, or up, down, left, right. ``what`` is exact where the terminal tells it; else
    a key is REPEATED if it came within ``RELEASE_NS`` before, and never RELEASED."""

    name: str
    what: Happened

    @property
    def new(self) -> bool:
        """A new press: a key that is stuck is pressed once, however often it repeats."""
        return self.what is Happened.PRESSED


class Terminal:
    """Reads ``descriptor`` (standard input) without waiting; a terminal is switched to single keys until
    ``close``. A terminal that has gone has no keys.

    ``exact``: ask the terminal for releases, too. ``tells_releases`` once it has agreed; ``answered_ns`` is
    then when it was last heard of: it is asked how it is by each ``ping``.
    """

    def __init__(self, descriptor: int | None = None, *, exact: bool = False) -> None:
        self.descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        self._poll = select.poll()  # select() cannot take descriptors from 1024 on
        self._poll.register(self.descriptor, select.POLLIN)
        terminal = os.isatty(self.descriptor)
        self._saved = termios.tcgetattr(self.descriptor) if terminal else None
        if self._saved is not None:
            tty.setcbreak(self.descriptor)
        self._seen_ns: dict[str, int] = {}
        self._rest = b""
        self._exact = exact and terminal
        self.tells_releases = False
        self.answered_ns = 0
        if self._exact:
            self._say(PUSH + ASK)

    def read(self, now_ns: int) -> list[Key]:
        """What happened to which keys since the last call. Losing the focus releases all of them."""
        data = self._rest + self._take()
        unfinished = _UNFINISHED.search(data)
        cut = len(data) if unfinished is None else unfinished.start()
        data, self._rest = data[:cut], data[cut:]
        return [key for match in _SEQUENCE.finditer(data) if (key := self._understand(match, now_ns))]

    def ping(self) -> None:
        """Ask for an answer, so that one who has gone is not taken for one who holds a key."""
        if self._exact:
            self._say(PING)

    def type(self, text: bool) -> None:
        """``text``: whole characters are typed from here on, capitals too, and no key tells its release."""
        if self._exact:
            self._say(TEXT if text else BACK)
        if text:
            self.tells_releases = False
        elif self._exact:
            self._say(ASK)

    def close(self) -> None:
        """Give the terminal back as it was. Never raises."""
        if self._exact:
            self._say(POP)
        if self._saved is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self._saved)

    def _understand(self, match: re.Match[bytes], now_ns: int) -> Key | None:
        private, numbers, final, application = match.groups()
        if final is None:
            name = _ARROWS[application] if application else match[0].decode("latin-1")
            return self._typed(name, now_ns) if name != "\x1b" else None
        if private == b"?" and final == b"u":
            self.tells_releases = self._exact and numbers not in (b"", b"0")
        if final == b"n" or private:
            self.answered_ns = now_ns
            return None
        if final == b"O" and not numbers:
            return Key("", Happened.RELEASED)
        return self._told(numbers, final, now_ns)

    def _told(self, numbers: bytes, final: bytes, now_ns: int) -> Key | None:
        """``CSI key ; modifiers : event u``, or an arrow's ``CSI 1 ; modifiers : event A``."""
        fields = [part.split(b":") for part in numbers.split(b";")]
        name = _ARROWS.get(final, "")
        if final == b"u" and fields[0][0]:
            code = int(fields[0][0])
            name = chr(code) if 32 <= code < 127 else ""
        if not name:
            return None
        modifiers = fields[1][0] if len(fields) > 1 else b""
        if modifiers and (int(modifiers) - 1) & ~_LOCKS:
            return None
        if not self.tells_releases:
            return self._typed(name, now_ns)
        self.answered_ns = now_ns
        event = fields[1][1] if len(fields) > 1 and len(fields[1]) > 1 else b"1"
        return Key(name, Happened(int(event))) if event in (b"1", b"2", b"3") else None

    def _typed(self, name: str, now_ns: int) -> Key:
        last_ns = self._seen_ns.get(name)
        self._seen_ns[name] = now_ns
        repeated = last_ns is not None and now_ns - last_ns <= RELEASE_NS
        return Key(name, Happened.REPEATED if repeated else Happened.PRESSED)

    def _take(self) -> bytes:
        with contextlib.suppress(OSError):
            if self._poll.poll(0):
                return os.read(self.descriptor, 256)
        return b""

    def _say(self, words: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self.descriptor, words)
