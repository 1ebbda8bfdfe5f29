"""``sandlot stop``: press a robot's emergency stop over the network."""

from __future__ import annotations

import json
import time

from launch.keys import robot_keys
from launch.options.stop import StopOptions
from robot.errors import SandlotError, WireError
from robot.messages import SCHEMA_VERSION, SafetyState, Stop, Stopped
from robot.transport import RobotLink, endpoints
from robot.wire import decode_stopped, encode

EVERY_S = 0.1
POWERLESS = frozenset({SafetyState.ESTOP, SafetyState.FAULT})


def stop(options: StopOptions) -> int:
    """Ask again and again until the robot answers that it is without power. Raises SandlotError if it does
    not, which says nothing about whether it moves."""
    keys = robot_keys(options.keys, options.key, options.robot_key, options.address)
    link = RobotLink(*endpoints(options.address), keys)
    message = encode(Stop(schema=SCHEMA_VERSION, reason=options.reason[:200]))
    said: Stopped | None = None
    deadline = time.monotonic() + max(options.seconds, EVERY_S)  # asked at least once, whatever was typed
    try:
        while time.monotonic() < deadline:
            link.send(message)
            link.wait(EVERY_S)
            for frames in link.receive():
                try:
                    said = decode_stopped(frames)
                except WireError as error:
                    raise SandlotError(f"{options.address} answers, but is no robot: {error}") from None
            if said is not None and said.safety_state in POWERLESS:
                break
            time.sleep(EVERY_S)
    finally:
        link.close()
    if said is None:
        raise SandlotError(
            f"{options.address} does not answer; USE THE EMERGENCY STOP. It listens only in a session of a "
            "robot whose file has a network source under [estop], and to machines on its list (sandlot keys)"
        )
    known = said.safety_state in set(SafetyState)
    state = SafetyState(said.safety_state).name if known else "unknown"
    if options.json:
        print(json.dumps({"session": said.session, "safety_state": state.lower()}))
    elif said.safety_state in POWERLESS:
        print(f"stopped: {state}; a person resets it at the robot")
    if said.safety_state not in POWERLESS:
        raise SandlotError(
            f"{options.address} pressed its emergency stop, but its guardian says {state} after "
            f"{options.seconds:g} s; USE THE EMERGENCY STOP"
        )
    return 0
