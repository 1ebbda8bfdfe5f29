"""The figures of killed processes: computed from made-up records whose answers are known, then measured."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from launch.bench import kill_timeline as timeline
from launch.bench.kill import ORDER, run, summarise
from robot.errors import SandlotError
from robot.messages import COURIER_DTYPE, Cause, SafetyState
from sim.emulators.truth import TRUTH_DTYPE

MS = 1_000_000
KILL = 5_000 * MS
ACTIVE, HOLD, STOP1, FAULT = SafetyState.ACTIVE, SafetyState.HOLD, SafetyState.STOP1, SafetyState.FAULT
TICK_DTYPE = np.dtype(
    [("time_ns", "<i8"), ("due_ns", "<i8"), ("safety_state", "u1"), ("cause", "u1"), ("silence", "<f8", (2,))]
)


def stopping_car(speed: float = 2.0, delay_ms: int = 110, deceleration: float = 4.0) -> timeline.Records:
    """Truth every 10 ms for 2 s: straight on to the north-east, then braked with 20 A."""
    truth = np.zeros(200, TRUTH_DTYPE)
    since_ms = np.arange(200) * 10 - 500
    truth["time_ns"] = KILL + since_ms * MS
    braked_s = np.maximum(since_ms - delay_ms, 0) / 1e3
    moving = np.maximum(speed - deceleration * braked_s, 0.0)
    truth["antenna_velocity"][:, :2] = moving[:, None] * (0.6, 0.8)
    truth["antenna_velocity"][:, 2] = 9.0
    truth["antenna_position"][:, :2] = (np.cumsum(moving) * 0.01)[:, None] * (0.6, 0.8)
    truth["motor_speed"] = moving * 241.6
    truth["motor_current"] = np.where((since_ms >= delay_ms) & (moving > 0), -20.0, 2.0)
    return truth


def ticks_of(*states: SafetyState, late_ms: float = 0.0) -> timeline.Records:
    """A tick each 10 ms, the first at the kill."""
    ticks = np.zeros(len(states), TICK_DTYPE)
    ticks["due_ns"] = KILL + np.arange(len(states)) * 10 * MS
    ticks["time_ns"] = ticks["due_ns"] + round(late_ms * MS)
    ticks["safety_state"] = states
    return ticks


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_a_car_that_brakes_after_a_delay(direction: float) -> None:
    truth = stopping_car()
    for field in ("antenna_position", "antenna_velocity", "motor_speed", "motor_current"):
        truth[field] *= direction
    # A blip of braking before the kill's own, such as a speed controller's, is not it.
    truth["motor_current"][53] = direction * -15.0
    assert timeline.speed_at(truth, KILL) == pytest.approx(2.0)
    assert timeline.braking_ms(truth, KILL, 10.0) == 110.0
    # From 2 m/s at 4 m/s^2: 0.4875 s to 0.05 m/s, and then the next record.
    assert timeline.standstill_ms(truth, KILL) == 600.0
    assert timeline.stop_distance_m(truth, KILL) == pytest.approx(2.0 * 0.11 + 2.0**2 / (2 * 4.0), abs=0.02)
    # The way before the first record after the kill counts, too.
    assert timeline.stop_distance_m(truth, KILL + 9 * MS) == pytest.approx(
        timeline.stop_distance_m(truth, KILL) - 2.0 * 0.009
    )


def test_what_never_happens_is_nan() -> None:
    rolling = stopping_car(deceleration=0.0)
    assert math.isnan(timeline.standstill_ms(rolling, KILL))
    assert math.isnan(timeline.stop_distance_m(rolling, KILL))
    assert math.isnan(timeline.braking_ms(rolling, KILL, 10.0))
    # Friction alone halves the speed, too: that is not braking.
    coasting = stopping_car()
    coasting["motor_current"] = 0.0
    assert math.isnan(timeline.braking_ms(coasting, KILL, 10.0))
    assert math.isnan(timeline.speed_at(rolling[rolling["time_ns"] > KILL], KILL))
    assert math.isnan(timeline.state_ms(ticks_of(ACTIVE, ACTIVE), KILL, [HOLD]))
    assert math.isnan(timeline.lateness_max_ms(ticks_of(), KILL, KILL))


def test_what_was_before_the_kill_does_not_count() -> None:
    ticks = ticks_of(HOLD, ACTIVE, ACTIVE, HOLD, HOLD)
    assert timeline.state_ms(ticks, KILL, [HOLD]) == 30.0
    assert timeline.state_ms(ticks, KILL, [STOP1, FAULT, HOLD]) == 30.0
    stood = stopping_car()
    stood["antenna_velocity"][:10] = 0.0
    assert timeline.standstill_ms(stood, KILL) == 600.0


def test_changes_and_lateness_are_those_of_the_window() -> None:
    ticks = ticks_of(ACTIVE, ACTIVE, HOLD, STOP1, STOP1, FAULT, late_ms=0.5)
    end = KILL + 41 * MS
    assert timeline.state_changes(ticks, KILL + MS, end) == 2
    assert timeline.state_changes(ticks[:2], KILL + MS, end) == 0
    # A change that shows only against the last tick before the kill is one.
    assert timeline.state_changes(ticks, KILL + 11 * MS, KILL + 21 * MS) == 1
    ticks["cause"][2:] = Cause.COMMAND_STALE, Cause.LIMIT, Cause.LIMIT, Cause.SHUTDOWN
    assert timeline.first_cause(ticks, KILL + MS, end) is Cause.COMMAND_STALE
    assert timeline.first_cause(ticks, KILL + 21 * MS, end) is Cause.LIMIT
    assert timeline.first_cause(ticks[:2], KILL + MS, end) is None
    ticks["silence"][:, 0] = (0.9, 0.04, 0.05, 0.12, 0.03, 0.8)
    ticks["silence"][:, 1] = 7.0
    assert timeline.pilot_silence_max_ms(ticks, KILL + MS, end) == pytest.approx(120.0)
    assert math.isnan(timeline.pilot_silence_max_ms(ticks[:0], KILL, end))
    ticks["time_ns"][2] += 3 * MS
    ticks["time_ns"][5] += 9 * MS
    assert timeline.lateness_max_ms(ticks, KILL, end) == pytest.approx(3.5)


def test_a_twin_that_stands_still_leaves_a_gap_in_its_truth() -> None:
    truth = stopping_car()
    assert timeline.gap_max_ms(truth, KILL, KILL + 500 * MS) == 10.0
    stalled = np.delete(truth, slice(60, 66))
    assert timeline.gap_max_ms(stalled, KILL, KILL + 500 * MS) == 70.0
    assert timeline.gap_max_ms(stalled, KILL + 200 * MS, KILL + 500 * MS) == 10.0
    assert math.isnan(timeline.gap_max_ms(truth, KILL, KILL + 10 * MS))


def test_acknowledgements_count_from_the_row_on() -> None:
    courier = np.zeros(5, COURIER_DTYPE)
    courier["time_ns"] = KILL + np.array([-200, 0, 200, 400, 600]) * MS
    courier["received"] = (50, 10, 0, 20, 21)
    assert timeline.acknowledged_ms(courier, KILL, 20) == 600.0
    assert timeline.acknowledged_ms(courier, KILL, 19) == 400.0
    assert math.isnan(timeline.acknowledged_ms(courier, KILL, 21))


def test_lost_and_doubled_rows_are_told_apart() -> None:
    assert timeline.lost_and_doubled(np.array([0, 1, 2], np.uint64), 3) == (0, 0)
    assert timeline.lost_and_doubled(np.array([0, 2, 2, 2], np.uint64), 4) == (2, 2)
    assert timeline.lost_and_doubled(np.zeros(0, np.uint64), 2) == (2, 0)


def test_rounds_become_median_worst_and_sums() -> None:
    rounds = [{("hold", "ms"): h, ("changes", "count"): c} for h, c in ((100.0, 0), (160.0, 2), (130.0, 1))]
    assert summarise(rounds) == {"hold_ms": 130.0, "hold_worst_ms": 160.0, "changes_count": 3}
    rounds[1]["hold", "ms"] = math.nan
    with pytest.raises(SandlotError, match="hold never happened in 1 of 3"):
        summarise(rounds)


def test_nothing_is_started_for_a_request_that_makes_no_sense() -> None:
    with pytest.raises(SandlotError, match="more than 0"):
        run(repeats=0)


TRIES = 3


def undisturbed(figures: dict[str, float]) -> bool:
    return figures["learner_kill_state_changes_count"] == figures["courier_kill_state_changes_count"] == 0


@pytest.mark.slow
@pytest.mark.realtime
def test_each_process_is_killed_and_nothing_is_lost_or_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launch.bench.kill.UNDISTURBED_S", 1.0)
    # A virtual machine that stands still for a tenth of a second stops the robot, as it should, whoever was
    # killed. What a kill itself does to the robot shows in every run, so that one without a stop decides;
    # nothing may be lost in any.
    for _ in range(TRIES):
        figures = run(repeats=1)
        check_figures(figures)
        if undisturbed(figures):
            return
    pytest.fail(f"the robot stopped when its learner or courier died, {TRIES} of {TRIES}: {figures}")


def check_figures(figures: dict[str, float]) -> None:
    assert json.loads(json.dumps(figures)) == figures
    units = ("_ms", "_m", "_m_per_s", "_count", "_lost", "_doubled")
    assert all(name.endswith(units) for name in figures)
    assert figures["transitions_count"] > 200
    assert {n: v for n, v in figures.items() if n.endswith(("_lost", "_doubled"))} == {
        "transitions_lost": 0,
        "transitions_doubled": 0,
        "log_transitions_lost": 0,
        "log_transitions_doubled": 0,
    }
    for name in ORDER:
        assert figures[f"{name}_kill_to_restart_ms"] <= figures[f"{name}_kill_to_streaming_ms"]
    assert figures["guardian_kill_to_brake_ms"] < figures["guardian_kill_to_standstill_ms"]
    assert figures["pilot_kill_to_hold_ms"] < figures["pilot_kill_to_standstill_ms"]
