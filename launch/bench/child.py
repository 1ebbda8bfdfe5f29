"""Measure in a process of its own: what one case leaves in memory must not count for the next."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

from robot.errors import SandlotError


def in_child(target: Any, *arguments: Any) -> dict[str, float]:
    """What ``target(*arguments)`` returns. Raises the SandlotError that it raises, and one if it dies."""
    processes = multiprocessing.get_context("spawn")
    ours, theirs = processes.Pipe()
    child = processes.Process(target=_answer, args=(theirs, target, *arguments), daemon=True)
    child.start()
    theirs.close()
    try:
        found: dict[str, float] | str = ours.recv()
    except EOFError:
        raise SandlotError("a learner being measured died; what it printed says why") from None
    finally:
        child.join()
    if isinstance(found, str):
        raise SandlotError(found)
    return found


def _answer(pipe: Connection, target: Any, *arguments: Any) -> None:
    try:
        pipe.send(target(*arguments))
    except SandlotError as error:
        pipe.send(str(error))
