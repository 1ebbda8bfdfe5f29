"""What ``sandlot doctor`` says of who may enable motion, who may stop it, and what stops it by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator

from launch.finding import Finding
from robot.errors import SandlotError
from robot.messages import EstopState
from robot.people_spec import EstopSource
from robot.spec import RobotSpec
from robot.transport import endpoints, is_local


def enable(spec: RobotSpec, twin: bool) -> Iterator[Finding]:
    """Who may enable motion."""
    source = "simulated_operator" if twin else spec.enable.source
    lapses = f"lapses {spec.enable.timeout_s:g} s after it was last renewed"
    if not twin and source == "simulated_operator":
        text = "enable.source is simulated_operator, which is for the twin only"
        yield Finding("enable", "failed", text, "Set held_key, transmitter or attendance in its file.")
    elif source == "attendance":
        text = f"attendance: {spec.enable.lease_s:g} s for each key press; {lapses}"
        yield Finding("enable", "ok", text)
    elif source == "transmitter":
        text = f"transmitter: {spec.enable.channel} above {spec.enable.threshold:g}, read by the guardian"
        remedy = "Switch the transmitter off once while the robot is armed and on its box: it must brake."
        yield Finding("enable", "ok", text, remedy)
    else:
        yield Finding("enable", "ok", f"{source}; {lapses}")


def estops(spec: RobotSpec, twin: bool) -> Iterator[Finding]:
    """Each emergency stop of the robot's file: there, readable, and how it stands."""
    if twin:
        yield Finding("emergency stop", "skipped", "the twin has none but the keyboard's and the network's")
        return
    if not spec.estop.sources:
        text = "none but the keyboard's x; the one in the motor battery's lead is not for software to see"
        yield Finding("emergency stop", "ok", text)
    for source in spec.estop.sources:
        yield _network(source) if source.kind == "network" else _wired(source)


def proof(spec: RobotSpec) -> Iterator[Finding]:
    """What is proved at each arming, and not here: it takes a motor current."""
    if "drive_timeout" not in spec.calibration:
        return
    yield Finding(
        "drive timeout",
        "skipped",
        f"each arming proves, with a current too small to move, that the drive stops by itself within about "
        f"{spec.scalar('drive_timeout') * 1e3:.0f} ms; nothing is sent now",
    )


def _wired(source: EstopSource) -> Finding:
    from robot.estop.gamepad import GamepadButton
    from robot.estop.modem_line import ModemLine

    line = source.kind == "line"
    button = ModemLine(source.port, source.signal) if line else GamepadButton(source.port, source.button)
    check = f"estop {source.name}"
    try:
        state = button.read(time.monotonic_ns())
    finally:
        button.close()
    if state == EstopState.UNKNOWN:
        return Finding(check, "failed", button.reason or f"{source.port} does not tell", "See the README.")
    if state == EstopState.OPEN:
        return Finding(check, "warning", f"{source.port}: pressed, or its wire is broken", "Release it.")
    remedy = (
        "Press it and run this again: it must say so." if line else "Have another: a gamepad can go away."
    )
    return Finding(check, "ok", f"{source.port}: not pressed", remedy)


def _network(source: EstopSource) -> Finding:
    check = f"estop {source.name}"
    try:
        local = all(is_local(endpoint) for endpoint in endpoints(source.port))
    except SandlotError as error:
        return Finding(check, "failed", str(error), "Correct the robot's file.")
    who = "this machine only" if local else "machines on the lists (sandlot keys show)"
    return Finding(check, "ok", f"sandlot stop {source.port}, from {who}; it is no emergency stop by itself")
