"""Robots, courses and the twin's worlds by name: the TOML files that come with Sandlot, or one's own."""

from __future__ import annotations

from pathlib import Path

from robot.errors import SpecError, nearest

HOME = Path(__file__).resolve().parent
FOLDERS = {
    "robots": HOME / "robots",
    "courses": HOME / "courses",
    "worlds": HOME.parent / "sim" / "worlds",
}


def names(kind: str) -> list[str]:
    """Every name of ``kind`` ("robots", "courses" or "worlds")."""
    return sorted(path.stem for path in FOLDERS[kind].glob("*.toml"))


def find(kind: str, name: str) -> Path:
    """The TOML file of a robot, a course or a world. Raises SpecError with the nearest names for an unknown
    one."""
    if name.endswith(".toml") or "/" in name:
        path = Path(name)
        if path.is_file():
            return path
        raise SpecError(f"no file {name}; give a name ({', '.join(names(kind))}) or the path of a TOML file")
    path = FOLDERS[kind] / f"{name}.toml"
    if path.is_file():
        return path
    raise SpecError(f"no {kind.removesuffix('s')} {name!r}; {nearest(name, names(kind))}")
