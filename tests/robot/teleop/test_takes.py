"""Recording by takes: what is cut, what counts, and what is only driven."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robot.messages import CUE_DTYPE, Event
from robot.shared_memory import Mailbox
from robot.teleop.takes import Takes, TakeSettings, kept_of

STEP_NS = 50_000_000


class Recording:
    """A pilot's side of it: an episode is open whenever nothing is between."""

    def __init__(self, directory: Path, settings: TakeSettings) -> None:
        self.mailbox = Mailbox(directory / "cues", CUE_DTYPE, create=True)
        self.record = np.zeros(1, CUE_DTYPE)
        self.told: list[tuple[str, float]] = []
        self.takes = Takes(
            settings, self.mailbox, lambda _, kind, value, text: self.told.append((kind, value))
        )
        self.now_ns, self.episode, self.open = 0, 100, False

    def _tell(self, time_ns: int, kind: str, value: float, text: str) -> None:
        self.told.append((kind, value))

    def press(self, *cues: str) -> None:
        for cue in cues:
            self.record[cue] += 1
        self.mailbox.write(self.record)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.now_ns += STEP_NS
            if self.takes.step(self.now_ns, self.open):
                self.open = False
            elif not self.open and not self.takes.between and not self.takes.complete:
                self.episode += 1
                self.takes.begin(self.now_ns, self.episode)
                self.open = True


def made(directory: Path, **settings: float) -> Recording:
    recording = Recording(directory, TakeSettings(**settings))  # type: ignore[arg-type]
    recording.run(10)
    return recording


def test_a_cut_ends_the_take_and_the_next_begins_after_the_reset(tmp_path: Path) -> None:
    recording = made(tmp_path, reset_s=1.0)
    recording.press("success")
    recording.run(1)
    assert not recording.open and recording.told == [("take_end", 101.0), ("take_success", 101.0)]
    recording.run(19)
    assert recording.takes.between
    recording.run(2)
    assert recording.open and recording.episode == 102


def test_end_during_the_reset_begins_the_next_take_sooner(tmp_path: Path) -> None:
    recording = made(tmp_path, reset_s=100.0)
    for _ in range(2):
        recording.press("end")
        recording.run(2)
    assert recording.open and recording.takes.kept == 1


def test_a_label_or_a_drop_after_the_cut_is_of_the_take_before(tmp_path: Path) -> None:
    recording = made(tmp_path, reset_s=10.0)
    recording.press("end")
    recording.run(1)
    recording.press("failure")
    recording.run(1)
    assert recording.takes.kept == 1
    recording.press("drop")
    recording.run(1)
    assert recording.told == [("take_end", 101.0), ("take_failure", 101.0), ("take_drop", 101.0)]
    assert recording.takes.kept == 0
    recording.press("drop")
    recording.run(1)
    assert recording.takes.kept == 0, "dropped twice is dropped once"


def test_a_label_makes_a_take_of_what_ended_otherwise(tmp_path: Path) -> None:
    recording = made(tmp_path)
    recording.open = False  # the person let go
    recording.press("success")
    assert not recording.takes.step(recording.now_ns + 1, False)
    assert recording.takes.kept == 1 and recording.told == [("take_success", 101.0)]


def test_a_take_ends_by_itself_and_the_set_when_all_are_kept(tmp_path: Path) -> None:
    recording = made(tmp_path, most_s=2.0, reset_s=0.5, wanted=5, kept=2)
    recording.run(200)
    assert recording.takes.complete and recording.takes.kept == 5
    assert recording.told == [("take_end", 101.0), ("take_end", 102.0), ("take_end", 103.0)]


def test_a_dropped_take_is_taken_again(tmp_path: Path) -> None:
    recording = made(tmp_path, most_s=2.0, reset_s=0.5, wanted=2)
    recording.run(34)
    recording.press("drop")
    recording.run(200)
    assert recording.takes.complete and recording.told.count(("take_drop", 101.0)) == 1
    assert [value for kind, value in recording.told if kind == "take_end"] == [101.0, 102.0, 103.0]


@pytest.mark.parametrize("cue", ["end", "success"])
def test_what_was_pressed_before_the_pilot_came_is_over(tmp_path: Path, cue: str) -> None:
    first = Recording(tmp_path, TakeSettings())
    first.press(cue)
    later = Takes(TakeSettings(), first.mailbox, lambda *_: None)
    later.begin(0, 7)
    assert not later.step(1, True)


def test_a_set_goes_on_from_what_its_log_says_was_kept(tmp_path: Path) -> None:
    recording = made(tmp_path, most_s=2.0, reset_s=0.5)
    recording.run(34)
    recording.press("drop")
    recording.run(120)
    recording.open = False
    recording.press("failure")
    recording.run(1)
    events = [Event(0, kind, value) for kind, value in recording.told]
    assert kept_of(events) == recording.takes.kept > 1
