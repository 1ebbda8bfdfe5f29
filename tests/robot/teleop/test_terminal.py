"""What a terminal's bytes mean: which keys were pressed anew, and, where it tells, which were let go."""

from __future__ import annotations

import os
import pty
import select
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot.teleop.terminal import ASK, PING, PUSH, RELEASE_NS, Happened, Key, Terminal

PRESSED, REPEATED, RELEASED = Happened.PRESSED, Happened.REPEATED, Happened.RELEASED


class Screen:
    """The other end of a terminal: what it types, and what it was told."""

    def __init__(self, exact: bool) -> None:
        self.master, slave = pty.openpty()
        self.terminal = Terminal(slave, exact=exact)

    def types(self, data: bytes, now_ns: int = 1) -> list[Key]:
        os.write(self.master, data)
        select.select([self.terminal.descriptor], [], [], 1.0)
        return self.terminal.read(now_ns)

    def hears(self) -> bytes:
        return os.read(self.master, 1000) if select.select([self.master], [], [], 1.0)[0] else b""


@pytest.fixture
def screen() -> Iterator[Screen]:
    made = Screen(exact=True)
    yield made
    made.terminal.close()


def test_a_key_is_new_once_until_it_was_let_go() -> None:
    ends = os.pipe()
    terminal = Terminal(ends[0])

    def press(now_ns: int, keys: str) -> list[tuple[str, bool]]:
        os.write(ends[1], keys.encode())
        return [(key.name, key.new) for key in terminal.read(now_ns)]

    assert press(0, "ab") == [("a", True), ("b", True)]
    assert press(RELEASE_NS, "a") == [("a", False)]
    assert press(2 * RELEASE_NS, "a") == [("a", False)], "it never was quiet for long enough"
    assert press(3 * RELEASE_NS + 1, "aa") == [("a", True), ("a", False)]
    assert press(3 * RELEASE_NS + 2, "b") == [("b", True)]


def test_a_terminal_that_has_gone_has_no_keys() -> None:
    read_end, write_end = os.pipe()
    terminal = Terminal(read_end)
    os.close(write_end)
    assert terminal.read(0) == []
    os.close(read_end)
    assert terminal.read(1) == []
    terminal.close()


def test_arrows_are_keys_in_both_of_their_spellings_and_in_pieces() -> None:
    screen = Screen(exact=False)
    assert [key.name for key in screen.types(b"\x1b[A\x1bOBx\x1b[C\x1bOD")] == [
        "up",
        "down",
        "x",
        "right",
        "left",
    ]
    assert screen.types(b"\x1b") == [] and [key.name for key in screen.types(b"[A")] == ["up"]
    assert screen.types(b"\x1b[") == [] and [key.name for key in screen.types(b"B")] == ["down"]
    screen.terminal.close()


def test_a_terminal_that_tells_releases_is_taken_at_its_word_once_it_says_so(screen: Screen) -> None:
    assert screen.hears() == PUSH + ASK
    assert screen.types(b" ") == [Key(" ", PRESSED)] and not screen.terminal.tells_releases
    assert screen.types(b"\x1b[?11u", 5) == []
    assert screen.terminal.tells_releases and screen.terminal.answered_ns == 5
    told = screen.types(b"\x1b[32;1:1u\x1b[1;1:1A\x1b[1;1:2A\x1b[1;129:3A\x1b[32;1:3u\x1b[C")
    assert told == [
        Key(" ", PRESSED),
        Key("up", PRESSED),
        Key("up", REPEATED),
        Key("up", RELEASED),  # with num lock on
        Key(" ", RELEASED),
        Key("right", PRESSED),
    ]
    assert screen.types(b"\x1b[115;5u") == [], "with control it is another key"


def test_a_lost_focus_lets_go_of_everything_and_an_answer_is_heard(screen: Screen) -> None:
    screen.types(b"\x1b[?11u", 5)
    assert screen.types(b"\x1b[O\x1b[I") == [Key("", RELEASED)]
    screen.hears()
    screen.terminal.ping()
    assert screen.hears() == PING
    assert screen.types(b"\x1b[0n", 99) == [] and screen.terminal.answered_ns == 99


def test_a_terminal_that_knows_no_releases_says_so(screen: Screen) -> None:
    screen.types(b"\x1b[?0u")
    assert not screen.terminal.tells_releases


@given(st.lists(st.binary(max_size=12), max_size=8))
def test_no_bytes_are_too_much(pieces: list[bytes]) -> None:
    read_end, write_end = os.pipe()
    terminal = Terminal(read_end)
    terminal.tells_releases = True
    for k, piece in enumerate(pieces):
        os.write(write_end, piece)
        assert all(len(key.name) <= 5 for key in terminal.read(k))
    terminal.close()
    os.close(read_end)
    os.close(write_end)
