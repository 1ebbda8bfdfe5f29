"""An emergency stop button on a serial adapter: a normally closed loop from an output pin to an input pin.

RTS feeds CTS, DTR feeds DSR or DCD. Everything that breaks the loop (the button, a wire, a plug) reads as
pressed. An adapter that is unplugged, or does not tell, reads as unknown, which stops the robot, too. What
the loop cannot show is a short across the button: press it before each session.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import serial

from robot.messages import EstopState

RETRY_NS = 500_000_000
"""Between attempts to open a port that is absent [ns]."""
FOLLOW_S = 0.1
"""How long an adapter may take to show on its input what its output does [s]; USB ones need up to 16 ms."""
LOOK_S = 0.002

_OUTPUTS = {"cts": "rts", "dsr": "dtr", "cd": "dtr"}


def _open(path: str) -> Any:
    return serial.Serial(path, timeout=0, write_timeout=0, exclusive=True)


class ModemLine:
    """``port``: the adapter's device path; ``signal``: cts, dsr or dcd. On opening, the output is switched
    off once: an input that stays on then is not fed by the loop, and is never trusted."""

    def __init__(
        self,
        port: str,
        signal: str,
        open_port: Callable[[str], Any] = _open,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.reason = ""
        self._port = port
        self._signal = "cd" if signal == "dcd" else signal  # pyserial's name
        self._output = _OUTPUTS[self._signal]
        self._open_port, self._sleep = open_port, sleep
        self._serial: Any = None
        self._retry_ns = 0

    def read(self, now_ns: int) -> EstopState:
        """CLOSED while the loop is; OPEN when it is broken; UNKNOWN without a working adapter."""
        if self._serial is None and now_ns >= self._retry_ns:
            self._retry_ns = now_ns + RETRY_NS
            self._begin()
        if self._serial is None:
            return EstopState.UNKNOWN
        try:
            return EstopState.CLOSED if self._fed() else EstopState.OPEN
        except (OSError, ValueError) as error:
            self._lose(f"port {self._port} was lost ({error}); check the cable")
            return EstopState.UNKNOWN

    def close(self) -> None:
        opened, self._serial = self._serial, None
        if opened is not None:
            opened.close()

    def _begin(self) -> None:
        try:
            self._serial = self._open_port(self._port)
            setattr(self._serial, self._output, False)
            off = self._settles(False)
            setattr(self._serial, self._output, True)
            self._settles(True)  # it stays off if the button is pressed
        except (OSError, ValueError) as error:
            self._lose(f"port {self._port} cannot be used for an emergency stop ({error})")
            return
        if not off:
            pins = f"{self._output.upper()} through the button to {self._signal.upper()}"
            self._lose(f"port {self._port}: the input is on without its output; wire {pins}, nothing else")

    def _settles(self, wanted: bool) -> bool:
        for _ in range(round(FOLLOW_S / LOOK_S)):
            if self._fed() == wanted:
                return True
            self._sleep(LOOK_S)
        return self._fed() == wanted

    def _fed(self) -> bool:
        return bool(getattr(self._serial, self._signal))

    def _lose(self, reason: str) -> None:
        self.reason = reason
        try:
            self.close()
        except OSError:
            return  # a vanished device cannot be closed properly, and need not be
