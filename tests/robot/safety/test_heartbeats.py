"""Silence of other processes: counted from the last new record, and not before the first."""

from __future__ import annotations

import pytest

from robot.safety.heartbeats import Heartbeats


def test_who_has_never_spoken_is_not_silent_and_who_has_is_from_then_on() -> None:
    beats = Heartbeats(3)
    assert beats.silence.tolist() == [0.0, 0.0, 0.0]
    beats.update(5 * 10**9, [0, 1, 7])
    assert beats.silence.tolist() == [0.0, 0.0, 0.0], "the first record may have any number, at any time"
    beats.update(6 * 10**9, [0, 1, 8])
    assert beats.silence.tolist() == pytest.approx([0.0, 1.0, 0.0])
    beats.update(8 * 10**9, [1, 1, 8])
    assert beats.silence.tolist() == pytest.approx([0.0, 3.0, 2.0])


def test_a_counter_that_starts_anew_is_a_sign_of_life() -> None:
    beats = Heartbeats(1)
    for second, sequence, silent in ((1, 9, 0.0), (2, 9, 1.0), (3, 1, 0.0), (5, 1, 2.0)):
        beats.update(second * 10**9, [sequence])
        assert beats.silence[0] == pytest.approx(silent)
