"""What a reviewer wants to see changed: single values (``safety.limits.overspeed.upper=4``) or another file
of the same robot, laid over the description that the log carries."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from launch import catalogue
from robot.errors import SandlotError, SpecError, nearest
from robot.log_reader import Log, read_log
from robot.plain_data import decode_struct, differences
from robot.recorder import TICKS
from robot.spec import RobotSpec, load_spec

KEPT = ("devices", "estimator", "calibration", "practice", "twin")
"""What a log's evidence already went through, so that no other file can change it any more."""


def changed(spec: RobotSpec, file: str | None, settings: Sequence[str]) -> tuple[RobotSpec, list[str]]:
    """The description to judge by, and a line for each value in which it differs from ``spec``.

    ``file``: a robot's name or TOML file, of which all counts that the guardian decides by. ``settings``:
    ``path=value``; a path goes through tables by key and through lists by each entry's name. Raises SpecError
    with the nearest names for an unknown one, and SandlotError if the file is of another robot.
    """
    plain = _plain(spec)
    if file is not None:
        plain = _laid_over(spec, file)
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals:
            raise SpecError(f"--set {setting!r}: expected PATH=VALUE, such as safety.arming_s=1.0")
        _put(plain, path.strip(), _value(text.strip()), f"--set {setting!r}")
    new = decode_struct(plain, RobotSpec, "the changed description")
    return new, differences(_plain(new), _plain(spec), words=("now", "logged"))


def _laid_over(spec: RobotSpec, file: str) -> dict[str, Any]:
    path = catalogue.find("robots", file)
    other = load_spec(path)
    lines = differences(other.contract(), spec.contract(), words=("file", "log"))
    if lines:
        shown = "\n  ".join(lines[:10])
        raise SandlotError(f"{path} describes another robot than the log does:\n  {shown}")
    plain, logged = _plain(other), _plain(spec)
    # Who enables is the session's choice (a simulated operator on the twin), and so is where it may drive.
    plain["enable"]["source"] = logged["enable"]["source"]
    if plain["safety"]["fence"] is None:
        plain["safety"]["fence"] = logged["safety"]["fence"]
    return plain | {name: logged[name] for name in KEPT}


def _plain(spec: RobotSpec) -> dict[str, Any]:
    """As a file has it: dictionaries and lists, to be changed at will."""
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(spec))
    return plain


def _put(plain: Any, path: str, value: Any, where: str) -> None:
    """Set one value in place. A name may itself contain points, so the longest one that fits is taken."""
    here, left = plain, path
    while True:
        names = {e["name"]: k for k, e in enumerate(here)} if isinstance(here, list) else {k: k for k in here}
        fitting = [n for n in names if left == n or left.startswith(f"{n}.")]
        if not fitting:
            raise SpecError(f"{where}: no {left!r} there; {nearest(left.partition('.')[0], names)}")
        name = max(fitting, key=len)
        left = left[len(name) + 1 :]
        if not left:
            here[names[name]] = value
            return
        here = here[names[name]]
        if not isinstance(here, dict) and not _named(here):
            raise SpecError(f"{where}: {name!r} is a value, there is nothing below it")


def _named(thing: Any) -> bool:
    return isinstance(thing, list) and all(isinstance(e, dict) and "name" in e for e in thing)


def _value(text: str) -> Any:
    """A TOML value, or plain text where it is none; ``none`` takes a bound away."""
    if text.lower() == "none":
        return None
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError(f"{text} is no limit; write none to take a bound away")
    return value


def description(metadata: dict[str, str], path: Path) -> RobotSpec:
    """The robot as a log carries it. Raises SandlotError if this version cannot read it."""
    if "spec" not in metadata:
        raise SandlotError(f"{path} says nothing of its robot; is it a session's log?")
    try:
        return decode_struct(msgspec.json.decode(metadata["spec"]), RobotSpec, str(path))
    except SpecError as error:
        raise SandlotError(f"{error}; the log is of another version, replay it with that one") from None


def read_recording(path: Path) -> tuple[Log, RobotSpec]:
    """A run's log, and the robot that it describes. Raises SandlotError if there is none or no tick in it."""
    if not path.exists():
        raise SandlotError(f"{path} does not exist; give a run's folder or its log.mcap")
    log = read_log(path, [TICKS])
    spec = description(log.metadata, path)
    if not len(log.ticks):
        raise SandlotError(f"{path} has no ticks; the guardian never ran")
    return log, spec
