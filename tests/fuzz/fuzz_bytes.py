"""Bytes that a parser should fear: mostly valid, wrong in one of the ways in which lines, disks and liars are
wrong. Everything follows from a random generator, so that a case can be run again from its number."""

from __future__ import annotations

import random
from collections.abc import Sequence

EDGES = (0, 1, 2, 3, 4, 127, 128, 254, 255)
_KINDS = (
    *("whole", "whole", "whole", "flip", "flip", "truncate", "behead", "duplicate", "delete"),
    *("insert", "noise", "dense", "splice", "nest", "lie", "lie"),
)


def damaged(rng: random.Random, valid: Sequence[bytes], dense: bytes, head: int = 8) -> bytes:
    """One of ``valid``, whole or damaged. ``dense``: byte values that mean something to the parser;
    ``head``: how many bytes from the start hold lengths and kinds, where a lie hurts most."""
    data = bytearray(rng.choice(valid))
    kind = rng.choice(_KINDS)
    size = len(data)
    at = rng.randrange(size + 1)
    if kind == "flip":
        for _ in range(rng.choice((1, 1, 1, 2, 8))):
            if size:
                data[rng.randrange(size)] ^= 1 << rng.randrange(8)
    elif kind == "truncate":
        del data[at:]
    elif kind == "behead":
        del data[:at]
    elif kind == "duplicate":
        data *= rng.choice((2, 2, 3))
    elif kind == "delete":
        del data[at : at + rng.choice((1, 1, 2, 7, 40))]
    elif kind == "insert":
        data[at:at] = rng.randbytes(rng.choice((1, 1, 2, 7, 40)))
    elif kind == "noise":
        data[:] = rng.randbytes(rng.choice((1, 5, 30, 200)))
    elif kind == "dense":
        data[:] = bytes(rng.choices(dense, k=rng.choice((3, 20, 150))))
    elif kind == "splice":
        other = rng.choice(valid)
        data[at:] = other[rng.randrange(len(other) + 1) :]
    elif kind == "nest":
        data[at:at] = rng.choice(valid)
    elif kind == "lie" and size:
        for _ in range(rng.choice((1, 1, 2))):
            data[rng.randrange(min(head, size))] = rng.choice(EDGES)
    return bytes(data)


def stream(rng: random.Random, valid: Sequence[bytes], dense: bytes, parts: int, head: int = 8) -> bytes:
    """Several in a row, some of them out of order and some twice."""
    chosen = [damaged(rng, valid, dense, head) for _ in range(parts)]
    if rng.random() < 0.2:
        rng.shuffle(chosen)
    if rng.random() < 0.2:
        chosen += chosen[:2]
    return b"".join(chosen)


def cut(rng: random.Random, data: bytes) -> list[bytes]:
    """The same bytes as they might arrive: all at once, one by one, or in pieces."""
    how = rng.random()
    if how < 0.3 or not data:
        return [data]
    if how < 0.35:
        return [data[k : k + 1] for k in range(len(data))]
    pieces, at = [], 0
    while at < len(data):
        end = at + rng.choice((1, 3, 17, 64, 300))
        pieces.append(data[at:end])
        at = end
    return pieces


def plain_lie(rng: random.Random, plain: object, depth: int = 0) -> object:
    """Plain data (as from JSON or MessagePack) with one thing in it changed: another type, another size,
    nested, missing or too much."""
    if depth < 4 and rng.random() < 0.7:
        if isinstance(plain, dict) and plain:
            copy = dict(plain)
            key = rng.choice(list(copy))
            what = rng.random()
            if what < 0.15:
                del copy[key]
            elif what < 0.25:
                copy[rng.choice(("extra", "", "type", "schema"))] = anything(rng)
            else:
                copy[key] = plain_lie(rng, copy[key], depth + 1)
            return copy
        if isinstance(plain, list) and plain:
            items = list(plain)
            at = rng.randrange(len(items))
            items[at] = plain_lie(rng, items[at], depth + 1)
            return items if rng.random() < 0.8 else items * rng.choice((0, 2, 30))
    return anything(rng)


NUMBERS = (0, 1, -1, 2, 255, 2**31, 2**32 - 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63))


def anything(rng: random.Random) -> object:
    """Any plain value, as strange as MessagePack can carry."""
    kind = rng.randrange(12)
    if kind < 4:
        return rng.choice(NUMBERS)
    if kind == 4:
        return rng.choice((float("nan"), float("inf"), -0.0, 1e308, 5e-324, 0.5))
    if kind == 5:
        return rng.randbytes(rng.choice((0, 1, 32, 300)))
    if kind == 6:
        return rng.choice(("", "s", "x" * 300, "\0", "\u202e", "é" * 70, "<f8", "O", "../../x"))
    if kind == 7:
        return rng.choice((None, True, False))
    if kind == 8:
        nested: object = []
        for _ in range(rng.choice((1, 20, 500))):
            nested = [nested] if rng.random() < 0.5 else {"a": nested}
        return nested
    if kind == 9:
        return [anything(rng) for _ in range(rng.randrange(4))]
    if kind == 10:
        return {rng.choice(("a", "type", "schema")): anything(rng)}
    return {str(k): k for k in range(rng.choice((1, 200)))}
