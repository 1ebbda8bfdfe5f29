"""Plain data: decoded into Structs, laid over each other, compared and hashed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from robot.errors import SpecError, nearest

T = TypeVar("T")


def digest(plain: Mapping[str, Any]) -> str:
    """SHA-256 of plain data in its canonical form."""
    return sha256(canonical_json(plain))


def canonical_json(plain: Any) -> bytes:
    """JSON with sorted keys and shortest round-trip floats: equal data is equal bytes."""
    return msgspec.json.encode(plain, order="deterministic")


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def differences(
    ours: Any, theirs: Any, path: str = "", words: tuple[str, str] = ("ours", "theirs")
) -> list[str]:
    """Every leaf where two pieces of plain data differ, one readable line each. ``words``: for the two."""
    us, them = words
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        lines = []
        for key in sorted(set(ours) | set(theirs)):
            where = f"{path}.{key}" if path else str(key)
            if key not in ours:
                lines.append(f"{where}: only {them} has it ({theirs[key]!r})")
            elif key not in theirs:
                lines.append(f"{where}: only {us} has it ({ours[key]!r})")
            else:
                lines += differences(ours[key], theirs[key], where, words)
        return lines
    if isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        lines = [] if len(ours) == len(theirs) else [f"{path}: {us} has {len(ours)}, {them} {len(theirs)}"]
        for i, (a, b) in enumerate(zip(ours, theirs, strict=False)):
            name = a.get("name", i) if isinstance(a, Mapping) else i
            lines += differences(a, b, f"{path}[{name}]", words)
        return lines
    return [] if ours == theirs else [f"{path}: {us} {ours!r}, {them} {theirs!r}"]


def first(lines: Sequence[str], most: int = 5) -> str:
    """In one line: the first of them, and how many more there are."""
    return "; ".join(lines[:most]) + (f"; and {len(lines) - most} more" if len(lines) > most else "")


def without(plain: Any, keys: Collection[str]) -> Any:
    """Plain data less every table's entries of these names."""
    if isinstance(plain, Mapping):
        return {key: without(value, keys) for key, value in plain.items() if key not in keys}
    return [without(value, keys) for value in plain] if isinstance(plain, list | tuple) else plain


def merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``overrides`` laid over it, tables merged key by key, anything else replaced."""
    merged = dict(base)
    for key, value in overrides.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def decode_struct(plain: Any, kind: type[T], where: str) -> T:
    """Plain data to a Struct. Raises SpecError that says where, and for an unknown key what was meant."""
    try:
        return msgspec.convert(plain, kind)
    except msgspec.ValidationError as error:
        unknown = re.search(r"unknown field `(\w+)`", str(error))
        hint = f"; {nearest(unknown[1], _all_keys(kind))}" if unknown else ""
        raise SpecError(f"{where}: {error}{hint}") from None


def _all_keys(kind: type) -> set[str]:
    keys: set[str] = set()
    pending, seen = [kind], set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        for field in msgspec.structs.fields(current):
            keys.add(field.name)
            for inner in (field.type, *getattr(field.type, "__args__", ())):
                if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                    pending.append(inner)
    return keys
