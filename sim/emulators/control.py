"""What may be asked of a running bench: faults on its serial lines, and to put the robot somewhere.

One JSON datagram each over a Unix socket, ``control`` in the bench's directory.
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import msgspec

from robot.errors import SandlotError, SpecError
from robot.layout import Struct
from sim.emulators.faults import Fault

SOCKET = "control"


class Place(Struct, tag=True):
    """Set the robot down, upright and at rest: at ``x``, ``y`` [m], ``yaw`` [rad], or, without a pose, on the
    course where it is nearest to it."""

    pose: tuple[float, float, float] | None = None


class SetFaults(Struct, tag=True):
    """Replace a device's faults; ``start_s`` and ``end_s`` count from when this arrives."""

    device: str
    faults: tuple[Fault, ...] = ()


class Trip(Struct, tag=True):
    """Make a motor controller report a fault code, as if it had detected the fault itself."""

    device: str
    code: int


class Sticks(Struct, tag=True):
    """Move a radio transmitter's ``channels``, numbered from 1, to values from -1 to 1; ``transmitting``:
    whether it is on."""

    device: str
    channels: dict[int, float] = msgspec.field(default_factory=dict)
    transmitting: bool = True


Request = Place | SetFaults | Trip | Sticks


class ControlSocket:
    """The bench's end. A datagram that is no request is counted in ``refused`` and otherwise ignored."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / SOCKET
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(self._path))
        self._decoder = msgspec.json.Decoder(Request)
        self.refused = 0

    def receive(self) -> Request | None:
        """The next request, or None."""
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return None
        try:
            request: Request = self._decoder.decode(data)
        except (msgspec.DecodeError, SpecError):
            self.refused += 1
            return None
        return request

    def close(self) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)


def ask(directory: Path, request: Request) -> None:
    """Send a request to the bench in ``directory``. Raises SandlotError if none runs there."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as client:
        client.settimeout(1.0)
        try:
            client.sendto(msgspec.json.encode(request), str(directory / SOCKET))
        except OSError as error:
            raise SandlotError(
                f"no emulated robot answers in {directory} ({error.strerror or error}); is it running?"
            ) from None
