"""What processes say to each other: fixed-size records (shared memory, log) and wire messages (ZeroMQ).

Records are numpy structured dtypes built from the spec with C alignment, so that a record is at once a slot
in shared memory, a CDR-encoded ROS 2 message in the log and a row of an array.
"""

from __future__ import annotations

import enum
import math

import numpy as np

from robot.layout import Struct
from robot.spec import RobotSpec

SCHEMA_VERSION = 3


class SafetyState(enum.IntEnum):
    """States of the safety state machine (IEC 60204-1 stop categories in brackets)."""

    BOOT = 0
    STANDBY = 1
    ARMING = 2
    ACTIVE = 3
    REDUCED = 4
    HOLD = 5  # category 2
    STOP1 = 6  # category 1
    STOP0 = 7  # category 0
    FAULT = 8
    ESTOP = 9


class Cause(enum.IntEnum):
    """Why the safety kernel left normal operation; the first one is latched."""

    NONE = 0
    ENABLE_RELEASED = 1
    COMMAND_STALE = 2
    COMMAND_NOT_FINITE = 3
    COMMAND_REPLAYED = 4
    SENSOR_STALE = 5
    SENSOR_NOT_FINITE = 6
    PORT_LOST = 7
    LIMIT = 8
    OVERRUN = 9
    NOT_STILL = 10
    DEADLINE = 11
    DRIVE_FAULT = 12
    ESTOP_PRESSED = 13
    OPERATOR_STOP = 14
    STATE_CORRUPT = 15
    ESTIMATOR = 16
    SHUTDOWN = 17
    UNPROVEN = 18  # a drive did not prove at arming that it stops by itself
    ESTOP_SILENT = 19  # an emergency stop's source that the robot's file names says nothing, or nonsense


class Actor(enum.IntEnum):
    """Who chose an action."""

    NOBODY = 0
    POLICY = 1
    HUMAN = 2
    SCRIPT = 3  # a scripted demonstrator standing where a human would
    RECOVERY = 4
    SAFETY = 5


class InputKind(enum.IntEnum):
    """Through what a person or a script drives."""

    NONE = 0
    KEYBOARD = 1
    GAMEPAD = 2
    WEB = 3
    SCRIPT = 4


class PilotPhase(enum.IntEnum):
    """What the practice state machine is doing."""

    WAITING = 0  # no policy, or the robot is not armed
    DEMONSTRATING = 1
    PRACTISING = 2
    SETTLING = 3  # a failure was detected; standing still
    RECOVERING = 4
    CALLING = 5  # the ladder is exhausted; a person is needed
    TELEOPERATED = 6
    FINISHED = 7


def command_dtype(spec: RobotSpec) -> np.dtype[np.void]:
    """Pilot to guardian. ``setpoint`` in actuator units; ``epoch`` echoes the guardian's arming epoch;
    ``novelty`` is the policy's own score of how far it is from what it was trained on, advisory only.
    ``input_ns``: when the person or script who drives last did something, through ``input``, an InputKind; 0
    where nobody does."""
    return np.dtype(
        [
            ("sequence", "<u8"),
            ("time_ns", "<i8"),
            ("input_ns", "<i8"),
            ("epoch", "<u4"),
            ("policy_version", "<u4"),
            ("actor", "u1"),
            ("input", "u1"),
            ("novelty", "<f4"),
            ("setpoint", "<f8", (len(spec.actuators),)),
        ],
        align=True,
    )


OPERATOR_DTYPE = np.dtype(
    [
        ("sequence", "<u8"),
        ("time_ns", "<i8"),
        ("arm", "<u4"),
        ("reset", "<u4"),
        ("resume", "<u4"),
        ("stop", "<u4"),
        ("enable", "u1"),
        ("estop", "u1"),
        ("pressed_ns", "<i8"),
    ],
    align=True,
)
"""Operator to guardian. ``enable`` and ``estop`` are levels renewed by writing; ``arm``, ``reset``,
``resume`` and ``stop`` are press counters, so that an edge is never lost and a held button does nothing.
``pressed_ns``: when a person last pressed a key, which is what a leased permission is counted from."""


class EstopState(enum.IntEnum):
    """What an emergency stop's source says of itself. An empty record says nothing."""

    UNKNOWN = 0
    CLOSED = 1  # not pressed
    OPEN = 2  # pressed


ESTOP_DTYPE = np.dtype(
    [("sequence", "<u8"), ("time_ns", "<i8"), ("presses", "<u4"), ("state", "u1")], align=True
)
"""An emergency stop's source to the guardian: a level, renewed by writing, and a counter of presses, so that
a short one is not lost."""


CUES = ("end", "success", "failure", "drop")
"""What cuts and labels a recording."""
HAND_PRESSES = ("reset", "stop", "place", *CUES)
CUE_DTYPE = np.dtype([("sequence", "<u8"), ("time_ns", "<i8"), *((name, "<u4") for name in CUES)], align=True)
"""Operator to pilot: counters of presses, so that none is lost."""


def hand_dtype(spec: RobotSpec) -> np.dtype[np.void]:
    """An input device to the pilot, who drives as it says, and to the operator, who enables motion by it.

    ``held``: the person has hold of the robot (the dead man's switch): a level, renewed by writing.
    ``axes`` in [-1, 1], one for each actuator: 0 is its rest, the ends are its range's. ``input_ns``: when
    the person last did something. ``estop`` is a level; ``reset``, ``stop`` and ``place`` (it stands on its
    start line) are counters of presses, and so are the ``CUES``."""
    return np.dtype(
        [
            ("sequence", "<u8"),
            ("time_ns", "<i8"),
            ("input_ns", "<i8"),
            ("input", "u1"),
            ("connected", "?"),
            ("held", "?"),
            ("estop", "?"),
            *((name, "<u4") for name in HAND_PRESSES),
            ("axes", "<f8", (len(spec.actuators),)),
        ],
        align=True,
    )


POSE_DTYPE = np.dtype(
    [("sequence", "<u8"), ("time_ns", "<i8"), ("pose", "<f8", (3,)), ("covariance", "<f8", (3,))], align=True
)
"""A feeder's external pose: x, y [m], yaw [rad] in the world frame, their variances, and the monotonic time
of capture."""


def state_dtype(spec: RobotSpec) -> np.dtype[np.void]:
    """Guardian to everyone who reads the robot's state: the estimate, the safety kernel's verdict, and the
    margin to each of the spec's limits, in the limit's unit."""
    size, actuators = spec.state_layout.size, len(spec.actuators)
    return np.dtype(
        [
            ("sequence", "<u8"),
            ("time_ns", "<i8"),
            ("altered_ticks", "<u8"),
            ("overruns", "<u8"),
            ("epoch", "<u4"),
            ("safety_state", "u1"),
            ("cause", "u1"),
            ("request", "u1"),
            ("converged", "?"),
            ("margin", "<f8", (len(spec.safety.limits),)),
            ("state", "<f8", (size,)),
            ("deviation", "<f8", (size,)),
            ("allowed", "<f8", (actuators,)),
            ("sent", "<f8", (actuators,)),
        ],
        align=True,
    )


def measurement_dtype(spec: RobotSpec) -> np.dtype[np.void]:
    """Per sensor, by name: the newest sample, when it was taken, and a counter of samples."""
    return np.dtype(
        [
            (
                sensor.name,
                np.dtype(
                    [("time_ns", "<i8"), ("sequence", "<u8"), ("values", "<f8", (sensor.layout.size,))],
                    align=True,
                ),
            )
            for sensor in spec.sensors
        ],
        align=True,
    )


class DeviceFlag(enum.IntFlag):
    """How a device stood in a tick."""

    OPEN = 1
    FAULT = 2  # the device says so itself
    RAISED = 4  # its driver raised an exception, or answered what no driver may
    PROVEN = 8  # at the newest arming it proved that it stops by itself, or had nothing to prove
    REFUTED = 16  # at the newest arming it proved the contrary


def tick_dtype(spec: RobotSpec) -> np.dtype[np.void]:
    """One guardian tick as it is logged: due and actual time, requested, allowed, sent and measured, and all
    that the safety kernel judged by, so that it can be judged again: ``command`` and ``operator`` are the
    newest records it had taken by ``read_ns``, ``devices`` holds a ``DeviceFlag`` each in the spec's order,
    ``silence`` [s] is the pilot's and the courier's, ``ending`` says that the guardian had been asked to end,
    ``estop`` what the emergency stops said together: 0 all well, 1 one is silent, 2 one is pressed, 3 both.
    What it made of it: ``request``, the worst of all verdicts, and the ``margin`` to each of the spec's
    limits, in the limit's unit."""
    size, actuators = spec.state_layout.size, len(spec.actuators)
    return np.dtype(
        [
            ("tick", "<u8"),
            ("time_ns", "<i8"),
            ("due_ns", "<i8"),
            ("busy_ns", "<i8"),
            ("read_ns", "<i8"),
            ("epoch", "<u4"),
            ("policy_version", "<u4"),
            ("safety_state", "u1"),
            ("cause", "u1"),
            ("actor", "u1"),
            ("altered", "?"),
            ("converged", "?"),
            ("ending", "?"),
            ("estop", "u1"),
            ("request", "u1"),
            ("devices", "u1", (len(spec.devices),)),
            ("silence", "<f8", (2,)),
            ("margin", "<f8", (len(spec.safety.limits),)),
            ("requested", "<f8", (actuators,)),
            ("allowed", "<f8", (actuators,)),
            ("sent", "<f8", (actuators,)),
            ("state", "<f8", (size,)),
            ("deviation", "<f8", (size,)),
            ("measured", measurement_dtype(spec)),
            ("operator", OPERATOR_DTYPE),
            ("command", command_dtype(spec)),
        ],
        align=True,
    )


def fault_dtype(spec: RobotSpec) -> np.dtype[np.void]:
    """The tick in which the newest fault was latched, and what it is about. It stays until the next one,
    whatever has become of the log."""
    return np.dtype(
        [("sequence", "<u8"), ("time_ns", "<i8"), ("detail", "S96"), ("tick", tick_dtype(spec))], align=True
    )


PILOT_DTYPE = np.dtype(
    [
        ("sequence", "<u8"),
        ("time_ns", "<i8"),
        ("phase", "u1"),
        ("actor", "u1"),
        ("policy_version", "<u4"),
        ("policy_time_ns", "<i8"),
        ("laps", "<u4"),
        ("failures", "<u4"),
        ("recoveries", "<u4"),
        ("assists", "<u4"),
        ("demonstrated", "<u4"),  # laps, so that a pilot that comes back goes on demonstrating where it was
        ("steps", "<u8"),
        ("late_steps", "<u8"),
        ("lap_time_s", "<f8"),
        ("best_lap_s", "<f8"),
        ("progress_m", "<f8"),
    ],
    align=True,
)
"""Pilot to the terminal view and the courier."""


COURIER_DTYPE = np.dtype(
    [
        ("sequence", "<u8"),
        ("time_ns", "<i8"),
        ("connected", "?"),
        ("spooled", "<u8"),
        ("sent", "<u8"),
        ("received", "<u8"),  # acknowledged as received by the learner
        ("durable", "<u8"),  # acknowledged as durable at the learner
        ("lost", "<u8"),  # ring overruns: must stay 0
        ("log_bytes", "<u8"),
        ("policy_version", "<u4"),
        ("learner_updates", "<u8"),
        ("learner_steps", "<u8"),
        ("updates_per_s", "<f8"),
        ("update_ratio", "<f8"),
        ("held_out_error", "<f8"),
        ("values", "<f8", (2,)),  # the least and the greatest of the critics' newest minibatch,
        ("value_bounds", "<f8", (2,)),  # and what they can be
        ("critic_alarm", "?"),
        ("policies_held", "<u4"),
        ("held_back", "?"),
        ("disk_full", "?"),
        ("disk_low", "?"),  # it will be, before long
    ],
    align=True,
)
"""Courier to the terminal view: log, spool and link, and what the learner last said of itself."""


class Event(Struct):
    """Something worth a line in the log: ``kind`` in one word, its number, and a text for a person."""

    time_ns: int
    kind: str
    value: float = 0.0
    text: str = ""


EVENT_DTYPE = np.dtype([("time_ns", "<i8"), ("value", "<f8"), ("kind", "S24"), ("text", "S160")], align=True)


class Hello(Struct, tag=True):
    """Robot to learner, first message of a connection."""

    schema: int
    robot: str
    session: str
    contract: dict[str, object]
    calibration_hash: str
    first_sequence: int


class Welcome(Struct, tag=True):
    """Learner to robot: the next step sequence it expects of this session."""

    schema: int
    next_sequence: int


class Refusal(Struct, tag=True):
    """Learner to robot: why not."""

    schema: int
    reason: str


class Steps(Struct, tag=True):
    """Robot to learner: ``count`` step rows from ``first_sequence`` on, in one raw frame with this CRC-32."""

    schema: int
    session: str
    first_sequence: int
    count: int
    crc: int


class Acknowledgement(Struct, tag=True):
    """Learner to robot: all rows below ``received`` have arrived, all below ``durable`` survive its death."""

    schema: int
    session: str
    received: int
    durable: int
    updates: int
    steps: int
    updates_per_s: float
    update_ratio: float
    policy_version: int
    held_out_error: float = math.nan
    """Of the critics, on episodes that are never trained on, by the targets' variance."""
    values: tuple[float, float] = (math.nan, math.nan)
    """The least and the greatest that the critics said of the newest minibatch."""
    value_bounds: tuple[float, float] = (math.nan, math.nan)
    """What no discounted return can lie outside of."""
    critic_alarm: str = ""
    """What is wrong with the critics; empty if nothing is."""
    policies_held: int = 0
    """Candidates that the smoke gate has kept from being published, ever."""
    held_back: str = ""
    """Why the newest candidate was; empty if it was published."""


class Stop(Struct, tag=True):
    """Anybody who may, to a robot: stop at once. ``reason``: for the log."""

    schema: int
    reason: str


class Stopped(Struct, tag=True):
    """The robot's answer: it has pressed its emergency stop; ``safety_state`` when it did (-1: unknown)."""

    schema: int
    session: str
    safety_state: int


class PolicyMessage(Struct, tag=True):
    """Learner to robots, newest only, one frame: an ONNX file and what proves it is ours and whole."""

    schema: int
    version: int
    contract_hash: str
    calibration_hash: str
    sha256: bytes
    signature: bytes
    onnx: bytes
