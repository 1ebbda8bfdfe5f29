"""Histories of steps with everything that happens to them, and what a person would read from the rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from robot.messages import Actor

Rows = NDArray[np.void]
DISCOUNT = 0.9

# What happens at a step: (session, what comes of it, whose action it is).
histories = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from(["go on"] * 8 + ["terminate", "truncate", "end", "lose", "reset", "not finite"]),
        st.sampled_from([Actor.POLICY] * 6 + [Actor.HUMAN, Actor.SCRIPT, Actor.RECOVERY]),
    ),
    min_size=1,
    max_size=60,
)


def stream(dtype: np.dtype[np.void], happenings: list[tuple[str, str, Actor]]) -> list[tuple[str, Rows]]:
    """A row for each, whose first observation and both actions tell its number and whose reward is random."""
    rng = np.random.default_rng(len(happenings))
    position: dict[str, tuple[int, int]] = {}
    sent = []
    for number, (session, then, actor) in enumerate(happenings):
        episode, step = position.get(session, (0, 0))
        row = np.zeros(1, dtype)
        row["episode"], row["step"], row["actor"] = episode, step, actor
        row["observation"][0, 0], row["action"] = number, number + 1
        row["reward"] = rng.normal()
        step += 1
        if then == "terminate":
            row["terminated"] = True
        elif then == "truncate":
            row["truncated"] = True
        elif then == "lose":
            step += 1
        elif then == "not finite":
            row["observation"][0, 1] = np.nan
        elif then in ("end", "reset"):
            row["last"] = then == "end"
            episode, step = episode + 1, 0
        position[session] = (episode, step)
        sent.append((session, row))
    return sent


class Wanted(NamedTuple):
    numbers: list[int]
    reward: float
    discount: float
    following: int | None


def expected(
    sent: list[tuple[str, Rows]], capacity: int, count: int, actors: tuple[Actor, ...]
) -> dict[int, Wanted]:
    """By hand, from the definition: for each row that starts a transition, where ``count`` steps lead."""

    def successor(i: int) -> int | None:
        session, row = sent[i]
        for j in range(i + 1, len(sent)):
            other, later = sent[j]
            same = other == session and later["episode"] == row["episode"]
            if same and int(later["step"][0]) == int(row["step"][0]) + 1:
                return j if np.isfinite(later["observation"]).all() else None
        return None

    def starts(i: int) -> bool:
        row = sent[i][1]
        usable = not row["last"] and row["actor"] in actors and bool(np.isfinite(row["observation"]).all())
        return usable and bool(row["terminated"] or successor(i) is not None)

    found = {}
    for first in range(max(0, len(sent) - capacity), len(sent)):
        if not starts(first):
            continue
        numbers, at = [first], first
        while len(numbers) < count and not (sent[at][1]["terminated"] or sent[at][1]["truncated"]):
            after = successor(at)
            assert after is not None
            if not starts(after):
                break
            numbers.append(after)
            at = after
        reward = sum(DISCOUNT**k * float(sent[i][1]["reward"][0]) for k, i in enumerate(numbers))
        ended = bool(sent[at][1]["terminated"])
        discount = 0.0 if ended else DISCOUNT ** len(numbers)
        found[first] = Wanted(numbers, reward, discount, None if ended else successor(at))
    return found


def expected_stack(sent: list[tuple[str, Rows]], number: int, size: int, capacity: int) -> list[int] | None:
    """The rows whose pictures make up a row's stack, oldest first; None if one of them is not there."""
    stack, at = [number], number
    while len(stack) < size:
        session, row = sent[at]
        step = int(row["step"][0])
        if step > 0:
            before = [
                j
                for j in range(at)
                if sent[j][0] == session
                and sent[j][1]["episode"] == row["episode"]
                and int(sent[j][1]["step"][0]) == step - 1
            ]
            if not before or before[0] < len(sent) - capacity:
                return None
            at = before[0]
            if not np.isfinite(sent[at][1]["observation"]).all():
                return None
        stack.insert(0, at)
    return stack
