"""A real serial port: pyserial opens and configures it, plain non-blocking reads and writes do the rest."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import grp
import os
import termios
from pathlib import Path

import serial
import serial.tools.list_ports

from robot.errors import PortError, nearest

_CHUNK = 4096
_ABSENT = (errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EIO)
_BUSY = (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK)
_DENIED = (errno.EACCES, errno.EPERM)


class SerialPort:
    """A serial port by its device path, opened for this process alone.

    ``exclusive`` is an advisory ``flock``: it keeps out every other program that asks for it too. Reads and
    writes never block: pyserial's own ``write`` with ``write_timeout=0`` spins for ever on a full buffer, so
    what does not fit now is left to the caller.
    """

    def __init__(self, path: str, baud: int) -> None:
        self.path = path
        self.baud = baud
        self._serial: serial.Serial | None = None
        self._descriptor = -1
        self._opened_once = False
        self._waiting = array.array("i", [0])

    @property
    def is_open(self) -> bool:
        return self._serial is not None

    def open(self) -> None:
        """Open and configure the port (8N1, raw). Raises PortError: why, and the command that mends it.

        A port that has been open before is opened again from within a control loop: then the reason is told
        without a look around the machine, which takes tens of milliseconds.
        """
        self.close()
        try:
            opened = serial.Serial(self.path, self.baud, timeout=0, write_timeout=0, exclusive=True)
        except (OSError, ValueError, termios.error) as error:
            told = again(self.path, error) if self._opened_once else explain(self.path, error)
            raise PortError(told) from None
        # FTDI adapters hold bytes for 16 ms unless told not to; ptys and USB CDC refuse, and need not.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            opened.set_low_latency_mode(True)
        self._serial, self._opened_once = opened, True
        self._descriptor = opened.fileno()

    def read(self) -> bytes:
        """All bytes that have arrived, possibly none. Raises PortError if the port is lost."""
        try:
            # Asking for the count tells a vanished device (OSError) from silence; a read gives b"" for both.
            fcntl.ioctl(self._descriptor, termios.FIONREAD, self._waiting)
            return os.read(self._descriptor, max(self._waiting[0], _CHUNK)) if self._waiting[0] else b""
        except BlockingIOError:
            return b""
        except (OSError, ValueError) as error:
            raise self._lost(error) from None

    def write(self, data: bytes) -> int:
        """Write what fits now; return how many bytes that was. Raises PortError if the port is lost."""
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return 0
        except (OSError, ValueError) as error:
            raise self._lost(error) from None

    def close(self) -> None:
        opened, self._serial, self._descriptor = self._serial, None, -1
        if opened is not None:
            # A vanished device cannot be closed properly, and need not be.
            with contextlib.suppress(OSError, termios.error):
                opened.close()

    def _lost(self, error: Exception) -> PortError:
        was_open = self.is_open
        self.close()
        if not was_open:
            return PortError(f"port {self.path} is not open; call open() first")
        return PortError(f"port {self.path} was lost ({error}); check the cable, it is tried again by itself")


def explain(path: str, error: BaseException) -> str:
    """One line for a person: which port, why it does not open, and the command that mends it."""
    number = getattr(error, "errno", None)
    target = Path(path)
    if number in _DENIED:
        try:
            group = grp.getgrgid(target.stat().st_gid).gr_name
        except (OSError, KeyError):
            group = "dialout"
        if group == "root":
            group = "dialout"
        return f"port {path} is not permitted to you; run `sudo usermod -aG {group} $USER` and log in again"
    if number in _BUSY:
        return (
            f"port {path} is busy: another program has it ({holder(path)}); close that program "
            f"(`fuser -v {path}` names it; for a modem manager `sudo systemctl stop ModemManager`)"
        )
    if number in _ABSENT or not target.exists():
        known = existing_ports(path)
        hint = nearest(path, known) if known else "no serial port exists on this machine"
        return (
            f"port {path} does not exist; {hint} Plug the device in (`ls -l /dev/serial/by-id`), or set the "
            f"device's port in the robot's file"
        )
    return f"port {path} cannot be used as a serial port ({error}); expected one such as /dev/ttyACM0"


def again(path: str, error: BaseException) -> str:
    """Why a lost port does not open again, from the error alone."""
    number = getattr(error, "errno", None)
    why = os.strerror(number) if number else str(error)
    return f"port {path} is still lost ({why}); check the cable, it is tried again by itself"


def existing_ports(path: str = "") -> list[str]:
    """Serial ports on this machine, and whatever lies beside ``path``."""
    found = {str(port.device) for port in serial.tools.list_ports.comports()}
    folder = Path(path).parent
    if path and folder.is_dir() and folder != Path("/dev"):
        found |= {str(entry) for entry in folder.iterdir() if entry.is_char_device()}
    return sorted(found)


def holder(path: str) -> str:
    """Who has the port open, as ``name pid``, as far as /proc tells."""
    real = os.path.realpath(path)
    mine = str(os.getpid())
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == mine:
            continue
        try:
            if any(os.path.realpath(link) == real for link in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()}, pid {process.name}"
        except OSError:
            continue  # another user's process, or one that has just ended
    return "name unknown"
