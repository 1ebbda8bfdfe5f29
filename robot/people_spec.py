"""Who may enable a robot's motion, and who may stop it, as its file says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from robot.errors import SpecError, nearest
from robot.layout import Struct


class Enable(Struct):
    """Who may enable motion, and after how long without renewal [s] the permission lapses.

    ``held_key``: while a key is held. ``attendance``: for ``lease_s`` [s] after a person last pressed a
    key. ``transmitter``: while ``channel``, a ``sensor.element`` that the guardian reads itself, is fresh and
    above ``threshold``.
    """

    source: Literal["held_key", "transmitter", "attendance", "simulated_operator"]
    timeout_s: float
    lease_s: float = 0.0
    channel: str = ""
    threshold: float = 0.0


class EstopSource(Struct):
    """An emergency stop's input beside the operator's key; silent for ``timeout_s``, it stops the robot too.

    ``line``: a normally closed loop on the modem line ``signal`` of the serial port ``port``. ``gamepad``:
    the ``button`` (its Linux key code) of the input device ``port``. ``network``: ``sandlot stop`` from
    another machine, listened for on ``port``, HOST:PORT.
    """

    name: str
    kind: Literal["line", "gamepad", "network"]
    port: str
    timeout_s: float
    signal: Literal["cts", "dsr", "dcd"] = "cts"
    button: int = 0


class Estop(Struct):
    """The emergency stops that must be there; any one of them stops the robot."""

    sources: tuple[EstopSource, ...] = ()


def check_people(robot: str, enable: Enable, estop: Estop, stale_s: Mapping[str, float]) -> None:
    """Raise SpecError if nobody could enable motion or stop it so. ``stale_s``: of every ``sensor.element``
    [s]."""
    if not enable.timeout_s > 0.0:
        raise SpecError(f"{robot}: enable.timeout_s {enable.timeout_s} must be more than 0")
    if enable.source == "attendance" and not enable.lease_s > enable.timeout_s:
        raise SpecError(
            f"{robot}: attendance needs enable.lease_s, how long a key press lasts, of more than its "
            f"timeout_s {enable.timeout_s:g}; got {enable.lease_s:g} [s]"
        )
    if enable.source == "transmitter":
        if enable.channel not in stale_s:
            raise SpecError(
                f"{robot}: enable.channel {enable.channel!r} is no sensor.element; "
                f"{nearest(enable.channel, stale_s)}"
            )
        age_s = stale_s[enable.channel]
        if age_s > enable.timeout_s:
            raise SpecError(
                f"{robot}: {enable.channel} may be {age_s:g} s old, but a permission only "
                f"enable.timeout_s = {enable.timeout_s:g} s; make the sensor's stale_s shorter"
            )
    names = [source.name for source in estop.sources]
    for source in estop.sources:
        if not re.fullmatch("[a-z][a-z0-9_]*", source.name) or names.count(source.name) > 1:
            raise SpecError(
                f"{robot}: estop source {source.name!r} needs a name of its own in lower-case letters, "
                "digits and underscores"
            )
        if not (source.timeout_s > 0.0 and source.port):
            raise SpecError(f"{robot}: estop source {source.name} needs a port, and timeout_s of more than 0")
        if source.kind == "gamepad" and source.button <= 0:
            raise SpecError(f"{robot}: estop source {source.name} needs button, a Linux key code")
