from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from learners.replay import Replay
from robot.contract import TaskContract
from robot.errors import SandlotError

Rows = NDArray[np.void]

# A stream is a list of (session, rows to send, then either go on, lose a row, or start another episode).
pieces = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 7), st.sampled_from(["go on", "lose", "end", "crash"])),
    min_size=1,
    max_size=12,
)


def stream(dtype: np.dtype[np.void], parts: list[tuple[str, int, str]]) -> list[tuple[str, Rows]]:
    """Rows whose first observation is their number in the whole stream, whose reward its negative."""
    position: dict[str, tuple[int, int]] = {}
    sent, number = [], 0
    for session, count, then in parts:
        episode, step = position.get(session, (0, 0))
        rows = np.zeros(count, dtype)
        rows["episode"], rows["step"] = episode, step + np.arange(count)
        rows["observation"][:, 0] = number + np.arange(count)
        rows["reward"] = -rows["observation"][:, 0]
        number += count
        step += count
        if then == "lose":
            step += 1
        elif then == "end":
            rows["last"][-1] = True
            episode, step = episode + 1, 0
        elif then == "crash":
            rows["terminated"][-1] = True
        position[session] = (episode, step)
        sent.append((session, rows))
    return sent


def expected(sent: list[tuple[str, Rows]], capacity: int) -> dict[int, int | None]:
    """By hand: each transition among the newest rows, first row's number to successor's (None: any)."""
    everything = [(session, row) for session, rows in sent for row in rows]
    found: dict[int, int | None] = {}
    for i, (session, row) in enumerate(everything):
        if row["last"] or i < len(everything) - capacity:
            continue
        followers = [
            j
            for j, (other, later) in enumerate(everything)
            if other == session
            and later["episode"] == row["episode"]
            and int(later["step"]) == int(row["step"]) + 1
        ]
        if row["terminated"]:
            found[i] = None
        elif followers:
            found[i] = followers[0]
    return found


@settings(deadline=None, max_examples=150)
@given(pieces, st.integers(2, 40), st.integers(0, 3))
def test_transitions_are_the_contiguous_pairs_among_the_newest_rows(
    contract: TaskContract, parts: list[tuple[str, int, str]], capacity: int, seed: int
) -> None:
    sent = stream(contract.step_dtype(), parts)
    replay = Replay(contract.step_dtype(), capacity)
    for session, rows in sent:
        replay.add(session, rows)
    wanted = expected(sent, capacity)
    assert replay.transitions == len(wanted)
    if not wanted:
        with pytest.raises(SandlotError, match="nothing to sample"):
            replay.sample(1, np.random.default_rng(seed))
        return
    drawn = replay.sample(60 * len(wanted), np.random.default_rng(seed))
    seen = set()
    for o, r, m, n in zip(
        drawn.observation, drawn.reward, drawn.discount, drawn.next_observation, strict=True
    ):
        first = int(o[0])
        seen.add(first)
        assert r == -first
        assert m == (0.0 if wanted[first] is None else 1.0)
        if m:
            assert int(n[0]) == wanted[first]
    assert seen == set(wanted)


@settings(deadline=None, max_examples=50)
@given(pieces, st.integers(2, 40), st.integers(1, 5))
def test_how_rows_are_cut_into_batches_does_not_matter(
    contract: TaskContract, parts: list[tuple[str, int, str]], capacity: int, size: int
) -> None:
    whole, cut = (Replay(contract.step_dtype(), capacity) for _ in range(2))
    for session, rows in stream(contract.step_dtype(), parts):
        whole.add(session, rows)
        for start in range(0, len(rows), size):
            cut.add(session, rows[start : start + size])
    assert whole.transitions == cut.transitions
    if whole.transitions:
        drawn = [r.sample(200, np.random.default_rng(0)) for r in (whole, cut)]
        for a, b in zip(*drawn, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("episodes", [20, 1])
def test_every_transition_is_equally_likely(
    contract: TaskContract, make_rows: Callable[..., Rows], episodes: int
) -> None:
    """Dense, and (one episode of 20 among 1000 unusable rows) so sparse that the other method is used."""
    replay = Replay(contract.step_dtype(), 2000)
    for k in range(episodes):
        replay.add("s", make_rows(20, seed=k, episode=k))
    if episodes == 1:
        lonely = np.zeros(1000, contract.step_dtype())
        lonely["episode"] = 1 + np.arange(1000)
        replay.add("s", lonely)
    assert replay.transitions == 20 * episodes
    drawn = replay.sample(400 * replay.transitions, np.random.default_rng(1))
    _, counts = np.unique(drawn.reward, return_counts=True)
    assert len(counts) == replay.transitions
    chi_squared = ((counts - 400) ** 2 / 400).sum()
    degrees = len(counts) - 1
    assert abs(chi_squared - degrees) < 4 * np.sqrt(2 * degrees)


def test_rows_that_are_not_finite_take_part_in_nothing(
    contract: TaskContract, make_rows: Callable[..., Rows]
) -> None:
    rows = make_rows(10)
    rows["observation"][4, 0] = np.nan  # spoils transitions 3 -> 4 and 4 -> 5
    rows["reward"][8] = np.inf  # spoils 8 -> 9
    replay = Replay(contract.step_dtype(), 100)
    replay.add("s", rows[:4])
    replay.add("s", rows[4:])
    assert (replay.transitions, replay.not_finite) == (7, 2)
    assert np.isfinite(replay.sample(500, np.random.default_rng(0)).next_observation).all()


@pytest.mark.parametrize("size", [7, 1])
def test_nobody_learns_from_actions_of_others(
    contract: TaskContract, make_rows: Callable[..., Rows], size: int
) -> None:
    rows, acts = make_rows(6), np.array([True, True, False, False, True, True, True])
    replay = Replay(contract.step_dtype(), 100)
    for start in range(0, 7, size):
        replay.add("s", rows[start : start + size], acts[start : start + size])
    assert replay.transitions == 4
    assert set(replay.sample(300, np.random.default_rng(0)).reward) == set(rows["reward"][[0, 1, 4, 5]])


@pytest.mark.parametrize("terminated", [True, False])
def test_a_last_row_has_no_action_whatever_follows_it(contract: TaskContract, terminated: bool) -> None:
    rows = np.zeros(3, contract.step_dtype())
    rows["step"] = np.arange(3)
    rows["last"][1], rows["terminated"][1] = True, terminated
    replay = Replay(contract.step_dtype(), 10)
    replay.add("s", rows)
    assert replay.transitions == 1
