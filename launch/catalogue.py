"""Robots, courses, the twin's worlds and its surrogates by name: the TOML files that come with Sandlot, or
one's own."""

from __future__ import annotations

from pathlib import Path

from robot.errors import SpecError, nearest

HOME = Path(__file__).resolve().parent
FOLDERS = {
    "robots": HOME / "robots",
    "courses": HOME / "courses",
    "worlds": HOME.parent / "sim" / "worlds",
    "surrogates": HOME.parent / "sim" / "surrogates",
}


def names(kind: str) -> list[str]:
    """Every name of ``kind``, a key of ``FOLDERS``."""
    return sorted(path.stem for path in FOLDERS[kind].glob("*.toml"))


def find(kind: str, name: str) -> Path:
    """The TOML file of that ``kind``, a key of ``FOLDERS``. Raises SpecError with the nearest names for an
    unknown one."""
    if name.endswith(".toml") or "/" in name:
        path = Path(name)
        if path.is_file():
            return path
        raise SpecError(f"no file {name}; give a name ({', '.join(names(kind))}) or the path of a TOML file")
    path = FOLDERS[kind] / f"{name}.toml"
    if path.is_file():
        return path
    raise SpecError(f"no {kind.removesuffix('s')} {name!r}; {nearest(name, names(kind))}")


def world(name: str | None, course: str) -> Path:
    """The file of the twin's surroundings: as named, else as the course is called. Raises SpecError."""
    try:
        return find("worlds", name or course)
    except SpecError as error:
        hint = "" if name else f"; the twin needs surroundings for course {course!r}: name them with --world"
        raise SpecError(f"{error}{hint}") from None
