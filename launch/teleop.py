"""``sandlot teleop``: a person drives the robot, through the pilot and the guardian like any policy."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from launch.attendance import Warn
from launch.conduct import conduct
from launch.finish import finish
from launch.free_ports import free_ports
from launch.hand_operator import AssistedOperator, HandButtons, HandOperator, HandThread
from launch.installed import need
from launch.manifest import Setup
from launch.operator import AbsentOperator, Operator, StartLine
from launch.options.teleop import TeleopOptions
from launch.session import Session, create_session
from launch.teleop_map import MAPS, make_map
from robot.board import Board
from robot.clock import MonotonicClock
from robot.errors import SandlotError, nearest
from robot.log_reader import read_log
from robot.messages import Cause, SafetyState
from robot.recorder import EVENTS
from robot.teleop.device import InputDevice
from robot.teleop.hand import HandFeeder
from robot.teleop.keyboard import KeyboardDevice
from robot.teleop.note_line import Notes
from robot.teleop.takes import TakeSettings, kept_of
from robot.teleop.terminal import Terminal

DEVICES: Final = ("keyboard", "gamepad", "web", "script")
LINK: Final = "teleop.url"
"""In a run's folder: the link of the page that drives it."""


def teleop(options: TeleopOptions) -> int:
    """The command."""
    if options.map:
        return make_map(options)
    if not options.hardware:
        need("mujoco")
    if options.minutes < 0 or options.episode_s < 0 or options.reset_s < 0 or options.episodes < 0:
        raise SandlotError("--minutes, --episodes, --episode-s and --reset-s: none of them may be negative")
    setup = Setup(
        demonstration_laps=0,
        update_ratio=0,
        evaluate_every=0,
        teleop=checked(options.device),
        reduced=options.reduced,
        operator=options.operator,
        task=options.task,
        takes=TakeSettings(
            most_s=options.episode_s,
            reset_s=options.reset_s,
            wanted=options.episodes,
            kept=0 if options.record is None else kept_in(options.record),
        ),
    )
    if setup.takes.kept:
        print(f"{options.record} has {setup.takes.kept} takes already")
    if 0 < setup.takes.wanted <= setup.takes.kept:
        return 0
    session = create_session(
        options.robot,
        options.course,
        role="teleop",
        runs=options.runs if options.record is None else options.record,
        twin=not options.hardware,
        attended=True,
        seed=options.seed,
        minutes=options.minutes,
        world=options.world,
        setup=setup,
        surrogate=options.surrogate,
    )
    ending = conduct(session, options.view, with_learner=False)
    return finish(session, ending, options.report, options.json)


def kept_in(folder: Path) -> int:
    """How many takes the sessions of a set have kept; one that was cut off counts as far as it goes."""
    total = 0
    for manifest in folder.glob("*/*/manifest.toml"):
        if manifest.parent.is_symlink():
            continue
        with contextlib.suppress(SandlotError):  # nothing was recorded before it was cut off
            log = read_log(manifest.parent, topics=(EVENTS,))
            total += kept_of(logged.event for logged in log.events if logged.source == "pilot")
    return total


def checked(device: str) -> str:
    """An input device as ``--device`` names it: its kind, and after a colon what it needs, as an absolute
    path. Raises SandlotError for one that is not there."""
    kind, _, path = device.partition(":")
    if kind not in DEVICES:
        raise SandlotError(f"no input device {kind!r}; {nearest(kind, DEVICES)}")
    if kind == "keyboard" and not os.isatty(sys.stdin.fileno()):
        raise SandlotError("standard input is not a keyboard; run this in a terminal, or over ssh -t")
    if kind == "web":
        need("aiohttp")
        host, _, port = path.rpartition(":")
        if path and not (host and port.isdecimal()):
            raise SandlotError(
                f"--device web:HOST:PORT was expected, such as web:192.168.1.30:8080; got {path!r}"
            )
        return device
    if kind == "script" and not Path(path).is_file():
        raise SandlotError(f"no file {path!r}: --device script:FILE, a TOML file of [[steps]]")
    return f"{kind}:{Path(path).resolve()}" if path else kind


def open_device(session: Session) -> InputDevice:
    """The session's input device, but for its own terminal. Raises SandlotError for one that cannot be."""
    kind, _, path = session.manifest.setup.teleop.partition(":")
    if kind == "script":
        from robot.teleop.script import ScriptDevice, load_script

        return ScriptDevice(session.spec, load_script(Path(path)))
    if kind == "web":
        return _page(session)
    if kind == "rescuer":
        from robot.teleop.rescuer import Rescuer
        from sim.world import load_world

        half_width = load_world(session.world).half_width
        return Rescuer(session.spec, session.course, half_width, session.board())
    from robot.teleop.gamepad import GamepadDevice, evdev_codes, open_evdev

    pad = open_evdev(Path(path) if path else None)
    return GamepadDevice(session.spec, pad, evdev_codes(), MAPS.expanduser())


def _page(session: Session) -> InputDevice:
    """The page's server."""
    from robot.teleop.web import WebDevice

    board, spec = session.board(), session.spec
    speed = spec.state_layout.index(spec.stop.standstill)
    units = {name: field.unit for field in spec.estimator.state for name in field.element_names()}
    unit = units[spec.stop.standstill]

    def status() -> dict[str, object]:
        record = board.state.read()
        if record is None:
            return {}
        row = record[0]
        safety, cause = SafetyState(int(row["safety_state"])), Cause(int(row["cause"]))
        value = float(row["state"][speed])
        shown = {"speed": value, "unit": unit} if math.isfinite(value) else {}
        return {"safety": safety.name, "cause": cause.name, "limits": session.limits, **shown}

    link = urlsplit((session.directory / LINK).read_text())
    token = link.path.strip("/")
    return WebDevice(spec, token, str(link.hostname), int(link.port or 0), MonotonicClock(), status)


def _make_link(session: Session, where: str) -> str:
    """The link of the session's page. Whoever has it may drive, so it is written where its owner alone reads,
    and not into the log."""
    address = where or f"127.0.0.1:{free_ports()}"
    link = f"http://{address}/{secrets.token_urlsafe(16)}/"
    path = session.directory / LINK
    path.touch(0o600)
    path.write_text(link)
    return link


def with_hand(
    session: Session,
    board: Board,
    warn: Warn,
    start: StartLine,
    notes: Notes,
    otherwise: Callable[[], Operator],
) -> Operator:
    """Who enables motion where a person has an input device in hand: they do, by holding it, where driving is
    all that the session is for; else who would without it (``otherwise``), and they may step in."""
    spec, terminal = session.spec, os.isatty(sys.stdin.fileno())
    kind, _, where = session.manifest.setup.teleop.partition(":")
    at_keys = kind == "keyboard"
    if kind == "web":
        warn(MonotonicClock().now_ns(), f"open {_make_link(session, where)}")
    alone = session.manifest.role == "teleop"
    if at_keys and not alone and spec.enable.source != "simulated_operator":
        raise SandlotError(
            "the keyboard enables motion in this session, so it cannot take over as well; take over with "
            "--teleop gamepad"
        )
    keys = KeyboardDevice(spec, Terminal(), notes) if terminal and alone and not at_keys else None
    operator: Operator
    if alone:
        enables = spec.enable.source != "transmitter"
        operator = HandOperator(
            board.operator, board.hand, board.cues, enables=enables, start=start, keys=keys
        )
    else:
        operator = otherwise()
        if isinstance(operator, AbsentOperator):
            raise SandlotError("somebody who may step in needs a terminal for this session: ssh -t")
        operator = AssistedOperator(operator, HandButtons(operator.panel, board.hand, board.cues, start))
    if not at_keys:
        return operator
    device = KeyboardDevice(spec, Terminal(exact=True), notes)
    return HandThread(operator, HandFeeder(spec, device, board.hand, MonotonicClock(), warn))
