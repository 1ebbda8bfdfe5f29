"""An emergency stop on a gamepad's button, read as Linux input events.

A button that closes on pressing is a convenience, not a chain: a wireless pad that is out of reach, or has
gone to sleep, looks like one that nobody presses, until the kernel takes its device away. Have another stop.
Source: linux/input.h and input-event-codes.h.
"""

from __future__ import annotations

import fcntl
import os
import struct

from robot.messages import EstopState

RETRY_NS = 500_000_000
"""Between attempts to open a device that is absent [ns]."""
_EVENT = struct.Struct("llHHi")  # time of day, type, code, value
_EV_SYN, _EV_KEY, _SYN_DROPPED = 0, 1, 3
_KEY_BYTES = 96  # KEY_MAX is 0x2ff
_EVIOCGKEY = 2 << 30 | _KEY_BYTES << 16 | ord("E") << 8 | 0x18  # which keys are down now


class GamepadButton:
    """``path``: the input device, such as ``/dev/input/by-id/…-event-joystick``; ``button``: its key code."""

    def __init__(self, path: str, button: int) -> None:
        self.reason = ""
        self._path, self._button = path, button
        self._descriptor = -1
        self._down = False
        self._rest = b""
        self._retry_ns = 0

    def read(self, now_ns: int) -> EstopState:
        """OPEN while the button is down, and once for a press that is over; UNKNOWN without a device."""
        if self._descriptor < 0 and now_ns >= self._retry_ns:
            self._retry_ns = now_ns + RETRY_NS
            self._begin()
        if self._descriptor < 0:
            return EstopState.UNKNOWN
        try:
            pressed = self._take()
        except OSError as error:
            self._lose(str(error))
            return EstopState.UNKNOWN
        return EstopState.OPEN if pressed or self._down else EstopState.CLOSED

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _begin(self) -> None:
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self.reason = str(error)
            return
        self._rest, self._down = b"", self._is_down()

    def _take(self) -> bool:
        """Follow the button; whether it went down, however briefly. Raises OSError if the device is gone."""
        pressed = False
        while True:
            try:
                data = os.read(self._descriptor, 64 * _EVENT.size)
            except BlockingIOError:
                return pressed
            if not data:
                raise OSError("the device says no more")
            data = self._rest + data
            whole = len(data) - len(data) % _EVENT.size
            self._rest = data[whole:]
            for _, _, kind, code, value in _EVENT.iter_unpack(data[:whole]):
                if kind == _EV_KEY and code == self._button:
                    self._down = value != 0
                    pressed |= self._down
                elif kind == _EV_SYN and code == _SYN_DROPPED:
                    self._down = self._is_down()

    def _is_down(self) -> bool:
        """What the kernel says of the button now; a device that cannot be asked counts as not pressed."""
        try:
            keys = fcntl.ioctl(self._descriptor, _EVIOCGKEY, bytes(_KEY_BYTES))
        except OSError:
            return False
        return bool(keys[self._button // 8] >> self._button % 8 & 1)

    def _lose(self, reason: str) -> None:
        self.reason = f"{self._path}: {reason}"
        self.close()
