"""Robots and courses by name: the TOML files that come with Sandlot, or a path to one's own."""

from __future__ import annotations

from pathlib import Path

from robot.errors import SpecError, nearest

HOME = Path(__file__).resolve().parent


def names(kind: str) -> list[str]:
    """Every name of ``kind`` ("robots" or "courses")."""
    return sorted(path.stem for path in (HOME / kind).glob("*.toml"))


def find(kind: str, name: str) -> Path:
    """The TOML file of a robot or a course. Raises SpecError with the nearest names for an unknown one."""
    if name.endswith(".toml") or "/" in name:
        path = Path(name)
        if path.is_file():
            return path
        raise SpecError(f"no file {name}; give a name ({', '.join(names(kind))}) or the path of a TOML file")
    path = HOME / kind / f"{name}.toml"
    if path.is_file():
        return path
    raise SpecError(f"no {kind.removesuffix('s')} {name!r}; {nearest(name, names(kind))}")
