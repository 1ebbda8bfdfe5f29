"""``sandlot teleop --map``: a mapping for a gamepad or a transmitter, made by moving each of its parts."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from launch import catalogue
from launch.options.teleop import TeleopOptions
from robot.clock import MonotonicClock
from robot.errors import SandlotError
from robot.spec import RobotSpec, load_spec
from robot.teleop.gamepad import GamepadDevice, Pad, evdev_codes, open_evdev
from robot.teleop.gamepad_map import GamepadMap, file_name, save_map
from robot.teleop.map_maker import MapMaker
from robot.teleop.terminal import Terminal

MAPS: Final = Path("~/.config/sandlot/gamepads")
"""Where mappings of gamepads lie."""
LOOKED_MS: Final = 50
"""Between two looks at the pad and the terminal."""
SKIP, QUIT = "\n", "q"

Show = Callable[[str], None]
Wait = Callable[[], tuple[int, list[str]]]
"""Until something may have happened: the time [ns], and the keys that were typed."""


def make_map(options: TeleopOptions) -> int:
    """The command. Raises SandlotError without a pad, or if it goes away."""
    spec = load_spec(catalogue.find("robots", options.robot))
    kind, _, path = options.device.partition(":")
    if kind not in ("keyboard", "gamepad"):  # the keyboard is what nobody asked for
        raise SandlotError(
            f"--map is for a gamepad or a transmitter in joystick mode; got --device {options.device}"
        )
    if not spec.teleop.axes:
        raise SandlotError(f"{spec.name}: its file has no [[teleop.axes]], so no stick can drive it")
    if not sys.stdin.isatty():
        raise SandlotError("standard input is no terminal; the questions are asked in one")
    codes, pad = evdev_codes(), open_evdev(Path(path) if path else None)()
    console, terminal, clock = Console(), Terminal(), MonotonicClock()
    console.print(f"{pad.name}: Enter says that it has nothing for a question, q gives up", markup=False)
    poll = select.poll()
    for descriptor in (pad.fd, terminal.descriptor):
        poll.register(descriptor, select.POLLIN)

    def wait() -> tuple[int, list[str]]:
        poll.poll(LOOKED_MS)
        now_ns = clock.now_ns()
        return now_ns, [key.name for key in terminal.read(now_ns)]

    try:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            target = MAPS.expanduser() / file_name(pad.name)
            made = write_map(
                spec, pad, codes, target, wait, lambda text: live.update(Text(text), refresh=True)
            )
    except OSError as error:
        raise SandlotError(f"{pad.name} has gone ({error}); nothing was written") from error
    finally:
        terminal.close()
        pad.close()
    if made is None:
        print("given up: nothing was written")
        return 1
    print(f"{target} written; sandlot teleop {options.robot} --device gamepad drives by it")
    return 0


def write_map(
    spec: RobotSpec, pad: Pad, codes: dict[str, int], target: Path, wait: Wait, show: Show
) -> GamepadMap | None:
    """Ask, write it to ``target``, and let the person try it; None if they gave up, or did not like it: then
    all is as before."""
    mapping = ask(MapMaker(spec, pad, codes), wait, show)
    if mapping is None:
        return None
    mapping.check(spec, codes, pad.name)
    before = target.read_bytes() if target.exists() else None
    save_map(mapping, target)
    if not attempt(spec, pad, codes, target.parent, wait, show):
        if before is None:
            target.unlink()
        else:
            target.write_bytes(before)
        return None
    return mapping


def ask(maker: MapMaker, wait: Wait, show: Show) -> GamepadMap | None:
    """All questions; None if the person gave up."""
    while (question := maker.question) is not None:
        now_ns, keys = wait()
        if QUIT in keys:
            return None
        optional = question.kind in ("less", "button")
        maker.step(now_ns, skip=SKIP in keys and optional)
        if (question := maker.question) is not None:
            number, of = maker.progress
            lines = (f"[{number + 1}/{of}] {question.text}", f"  sees: {maker.seen or 'nothing moves'}")
            show("\n".join((*lines, f"  {maker.trouble}")))
    return maker.made


def attempt(spec: RobotSpec, pad: Pad, codes: dict[str, int], maps: Path, wait: Wait, show: Show) -> bool:
    """What the robot would be asked for, by the same code as when it drives. Whether the person likes it."""
    device = GamepadDevice(spec, lambda: pad, codes, maps)
    names = [actuator.name for actuator in spec.actuators]
    pressed: list[str] = []
    while True:
        now_ns, keys = wait()
        reading = device.read(now_ns)
        if not reading.connected:
            raise OSError(device.reason)
        pressed = [*pressed, *reading.presses][-3:]
        axes = "  ".join(f"{n} {v:+.2f}" for n, v in zip(names, np.asarray(reading.axes), strict=True))
        held = "emergency stop" if reading.estop else "held: it drives" if reading.held else "it stands"
        show(f"try it (nothing moves): {axes}  {held}  {' '.join(pressed)}\n  Enter keeps it, q gives up")
        if QUIT in keys:
            return False
        if SKIP in keys:
            return True
