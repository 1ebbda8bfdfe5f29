"""The real port on real pseudo-terminals: what it does when full, lost, absent, busy or not permitted."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from robot.drivers.port import SerialPort, explain
from robot.errors import PortError


@pytest.fixture
def terminal() -> Iterator[tuple[int, int, str]]:
    """Host end, device end and path of a raw pty; the test may close either end."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    yield master, slave, os.ttyname(slave)
    for descriptor in (master, slave):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def opened(path: str) -> SerialPort:
    port = SerialPort(path, 115200)
    port.open()
    return port


def test_every_byte_value_goes_through_unchanged(terminal: tuple[int, int, str]) -> None:
    master, slave, path = terminal
    port = opened(path)
    everything = bytes(range(256))
    assert port.write(everything) == 256
    select.select([master], [], [], 1.0)
    assert os.read(master, 1000) == everything
    os.write(master, everything)
    select.select([slave], [], [], 1.0)  # the kernel hands a pty's bytes over in its own time
    assert port.read() == everything
    assert port.read() == b""
    port.close()


def test_a_full_port_takes_what_it_can_and_returns(terminal: tuple[int, int, str]) -> None:
    _, _, path = terminal
    port = opened(path)
    # The kernel moves bytes on to the other end in its own time, so there may be room again for a while.
    counts = [port.write(b"x" * 4096) for _ in range(200)]
    assert sum(counts) < 100 * 4096
    assert counts[-1] == 0
    assert port.is_open
    port.close()


def test_a_pulled_plug_is_a_port_error_on_read_and_on_write(terminal: tuple[int, int, str]) -> None:
    master, slave, path = terminal
    reader = SerialPort(path, 115200)
    reader.open()
    os.close(slave)
    os.close(master)
    with pytest.raises(PortError, match="was lost"):
        reader.read()
    assert not reader.is_open
    with pytest.raises(PortError, match="not open"):
        reader.write(b"x")


def test_a_port_that_someone_else_holds_is_busy(terminal: tuple[int, int, str]) -> None:
    _, slave, path = terminal
    fcntl.flock(slave, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with pytest.raises(PortError, match=r"is busy.*fuser"):
        opened(path)


def test_an_absent_port_names_the_ports_that_exist(tmp_path: Path, terminal: tuple[int, int, str]) -> None:
    (tmp_path / "vesc0").symlink_to(terminal[2])
    with pytest.raises(PortError, match=rf"{tmp_path}/vesc does not exist; did you mean {tmp_path}/vesc0"):
        opened(str(tmp_path / "vesc"))


@pytest.mark.parametrize("how", ["absent", "busy"])
def test_reopening_a_lost_port_never_looks_around_the_machine(
    tmp_path: Path, terminal: tuple[int, int, str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    link = tmp_path / "gnss"
    link.symlink_to(terminal[2])
    port = opened(str(link))
    port.close()
    for name in ("existing_ports", "holder"):  # walks through /sys and /proc, in the control loop

        def look_around(*_: str, name: str = name) -> None:
            raise AssertionError(f"{name} was called")

        monkeypatch.setattr(f"robot.drivers.port.{name}", look_around)
    if how == "absent":
        link.unlink()
    else:
        fcntl.flock(terminal[1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    with pytest.raises(PortError, match=rf"{link} is still lost .*tried again"):
        port.open()


def test_what_is_no_serial_port_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PortError, match="cannot be used as a serial port"):
        opened(str(tmp_path / "file"))


def test_a_forbidden_port_names_the_command_that_mends_it(tmp_path: Path) -> None:
    # Tests may run as root, whom nothing is forbidden; so the error is given, not provoked.
    text = explain(str(tmp_path), OSError(errno.EACCES, "Permission denied"))
    assert "not permitted" in text
    assert "sudo usermod -aG dialout $USER" in text


def test_opening_again_and_closing_twice_do_no_harm(terminal: tuple[int, int, str]) -> None:
    port = opened(terminal[2])
    port.open()
    assert port.is_open
    port.close()
    port.close()
    assert not port.is_open
