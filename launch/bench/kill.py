"""``sandlot bench kill``: every process of a session killed (SIGKILL) while the robot drives.

A practice session on the twin in real time, as ``sandlot practice`` starts it: every process, serial ports,
sockets, supervisor. A scripted driver keeps it at a steady speed. One process after another is killed, each
once the robot drives again. What the car does is read from the twin's truth, what the guardian does from its
ticks, and at the end every transition is looked up in the robot's log and the learner's journal.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from launch.bench import kill_timeline as timeline
from launch.bench.loop import ahead_of_the_load
from launch.bench.onlooker import Onlooker
from launch.conduct import conduct
from launch.free_ports import free_ports
from launch.manifest import Setup
from launch.processes import follow_parent
from launch.session import Session, create_session, open_session
from launch.supervisor import Backoff
from learners.journal import Journal
from robot.clock import MonotonicClock
from robot.errors import SandlotError
from robot.log_reader import read_log
from robot.messages import SafetyState

ORDER = ("learner", "courier", "pilot", "guardian", "emulator")
DRIVER = "robot.teleop.pure_pursuit:tuned"
"""Steady, unlike the demonstrator's hand: a kill's effect on the speed is then the kill's."""
ENDLESS = 1_000_000
UNDISTURBED_S = 5.0
BACK_S = 120.0
"""A process that is not back by then will not come: a learner reads its checkpoint and its journal."""
ENDING_S = 120.0
BRAKED = (SafetyState.STOP1, SafetyState.STOP0, SafetyState.FAULT)

Figures = dict[tuple[str, str], float]
"""(what, unit): value."""


def run(
    repeats: int = 3, speed: float = 1.5, seed: int = 0, progress: Callable[[str], None] | None = None
) -> dict[str, float]:
    """Kill each process ``repeats`` times at ``speed`` [m/s]; medians, and the worst of each (``_worst``).

    Raises SandlotError if the robot does not drive again after a kill.
    """
    if repeats < 1 or speed <= 0:
        raise SandlotError(f"repeats {repeats} and speed {speed:g}: both must be more than 0")
    say = progress or (lambda line: None)
    directory = Path(tempfile.mkdtemp(prefix="sandlot-kill-"))
    try:
        session = make_session(directory, speed, seed)
        rounds: list[Figures] = []
        rng = np.random.default_rng(seed)
        with conducted(session) as alive, ahead_of_the_load():
            onlooker = Onlooker(session, MonotonicClock(), alive, speed)
            quiet = _undisturbed(onlooker)
            for number in range(repeats):
                rounds.append({})
                for name in ORDER:
                    figures = _kill(session, onlooker, name, rng)
                    rounds[-1] |= figures
                    shown = ", ".join(f"{what} {value:.4g} {unit}" for (what, unit), value in figures.items())
                    say(f"{number + 1}/{repeats}: {shown}")
            onlooker.until_steady()
            made, dropped = int(onlooker.board.steps.written), onlooker.board.steps.dropped
        return {
            "kills_count": repeats * len(ORDER),
            **quiet,
            **summarise(rounds),
            **transitions(session, made, dropped),
        }
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def summarise(rounds: list[Figures]) -> dict[str, float]:
    """Median and worst (largest) of each figure over the rounds; of counts the sum. Raises SandlotError for
    one that is NaN: a car that never stood still has no median."""
    flat: dict[str, float] = {}
    for what, unit in rounds[0]:
        values = np.array([figures[what, unit] for figures in rounds])
        if not np.isfinite(values).all():
            raise SandlotError(
                f"{what} never happened in {int(np.isnan(values).sum())} of {len(values)} kills"
            )
        if unit == "count":
            flat[f"{what}_{unit}"] = int(values.sum())
        else:
            flat[f"{what}_{unit}"] = round(float(np.median(values)), 3)
            flat[f"{what}_worst_{unit}"] = round(float(values.max()), 3)
    return flat


def transitions(session: Session, made: int, dropped: int) -> dict[str, float]:
    """Every row of an ended session looked up where it should be; at least ``made`` there must be, and
    ``dropped`` more never got a number."""
    log = read_log(session.directory)
    journal = Journal(session.learner / "journal" / "rows.journal", session.contract.step_dtype())
    learned = np.concatenate([rows["sequence"] for _, rows in journal.replay()] or [np.zeros(0, np.uint64)])
    journal.close()
    logged = log.steps["sequence"]
    made = max(made, *(int(s.max()) + 1 for s in (learned, logged) if len(s)))
    lost, doubled = timeline.lost_and_doubled(learned, made)
    log_lost, log_doubled = timeline.lost_and_doubled(logged, made)
    return {
        "transitions_count": made,
        "transitions_lost": lost + dropped,
        "transitions_doubled": doubled,
        "log_transitions_lost": log_lost + dropped,
        "log_transitions_doubled": log_doubled,
    }


def make_session(directory: Path, speed: float, seed: int, driver: str = DRIVER) -> Session:
    """A practice session on the twin whose scripted ``driver`` never stops demonstrating."""
    setup = Setup(
        address=f"127.0.0.1:{free_ports()}",
        demonstrator=driver,
        demonstration_laps=ENDLESS,
        demonstration_speed=speed,
    )
    return create_session("racer", "oval", role="practice", runs=directory, twin=True, seed=seed, setup=setup)


def _undisturbed(onlooker: Onlooker) -> dict[str, float]:
    """What the loop does when nobody is killed, to compare with."""
    onlooker.until_steady()
    begin_ns = MonotonicClock().now_ns()
    onlooker.wait(UNDISTURBED_S)
    late_ms = timeline.lateness_max_ms(onlooker.ticks(), begin_ns, begin_ns + round(UNDISTURBED_S * 1e9))
    return {"undisturbed_lateness_max_ms": round(late_ms, 3)}


def _kill(session: Session, onlooker: Onlooker, name: str, rng: np.random.Generator) -> Figures:
    """Kill one process mid-drive and watch until it is back and the robot drives."""
    onlooker.until_steady()
    before = onlooker.starts(name)
    if len(before) > 1:
        # A process that dies again soon is started later each time: let the supervisor forget the last one.
        healthy_ns = before[-1][0] + round((Backoff().healthy_s + 1.0) * 1e9)
        onlooker.wait(max(0, healthy_ns - MonotonicClock().now_ns()) / 1e9)
        onlooker.until_steady()
    onlooker.forget()
    # Nothing of the kill's timing may be in step with the loops.
    onlooker.wait(0.2 + float(rng.uniform(0.0, 0.1)))
    kill_ns = MonotonicClock().now_ns()
    os.kill(before[-1][1], signal.SIGKILL)
    onlooker.until(lambda: len(onlooker.starts(name)) > len(before), BACK_S, f"{name} to be started again")
    started_ns, _ = onlooker.starts(name)[-1]
    first = int(onlooker.board.steps.written)

    def streaming_ms() -> float:
        return timeline.acknowledged_ms(onlooker.courier(), kill_ns, first)

    onlooker.until(lambda: np.isfinite(streaming_ms()), BACK_S, f"transitions after {name} was killed")
    figures: Figures = {}
    ticks, truth = onlooker.ticks(), onlooker.truth()
    head = f"{name}_kill"
    if name in ("learner", "courier"):
        end_ns = kill_ns + round(streaming_ms() * 1e6)
        figures[f"{head}_state_changes", "count"] = timeline.state_changes(ticks, kill_ns, end_ns)
        figures[f"{head}_lateness_max", "ms"] = timeline.lateness_max_ms(ticks, kill_ns, end_ns)
        figures[f"{head}_twin_gap_max", "ms"] = timeline.gap_max_ms(truth, kill_ns, end_ns)
        figures[f"{head}_pilot_silence_max", "ms"] = timeline.pilot_silence_max_ms(ticks, kill_ns, end_ns)
    else:
        figures[f"{head}_speed", "m_per_s"] = timeline.speed_at(truth, kill_ns)
    if name == "pilot":
        figures[f"{head}_to_hold", "ms"] = timeline.state_ms(ticks, kill_ns, [SafetyState.HOLD])
    if name == "guardian":
        amperes = session.spec.scalar("drive_timeout_brake_current") / 2
        figures[f"{head}_to_brake", "ms"] = timeline.braking_ms(truth, kill_ns, amperes)
    if name in ("pilot", "guardian"):
        figures[f"{head}_to_standstill", "ms"] = timeline.standstill_ms(truth, kill_ns)
        figures[f"{head}_stop_distance", "m"] = timeline.stop_distance_m(truth, kill_ns)
    if name == "emulator":
        figures[f"{head}_to_stop", "ms"] = timeline.state_ms(ticks, kill_ns, BRAKED)
    figures[f"{head}_to_restart", "ms"] = (started_ns - kill_ns) / 1e6
    figures[f"{head}_to_streaming", "ms"] = streaming_ms()
    return figures


@contextlib.contextmanager
def conducted(session: Session, with_learner: bool = True) -> Iterator[Callable[[], bool]]:
    """The session in a process of its own, ended in its orderly way. Raises SandlotError if it ended by
    itself or not in order."""
    process = multiprocessing.get_context("spawn").Process(
        target=_conduct, args=(session.directory, with_learner), daemon=True
    )
    process.start()
    try:
        yield process.is_alive
    finally:
        process.terminate()
        process.join(ENDING_S)
        if process.is_alive():
            process.kill()
            process.join()
    if process.exitcode != 0:
        raise SandlotError(f"the session ended with exit code {process.exitcode}")


def _conduct(directory: Path, with_learner: bool) -> None:
    follow_parent()
    ending = conduct(open_session(directory), "none", with_learner)
    if ending.error is not None:
        print(f"session ended: {ending.reason}", file=sys.stderr)
        raise SystemExit(1)
