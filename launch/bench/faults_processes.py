"""``sandlot bench faults --processes``: processes of a real session stopped, killed, hung and starved.

In real time, on the twin behind serial ports, as ``sandlot practice`` starts it. What the car does is read
from the twin's truth, what the guardian does from its ticks. The machine's own lateness, seen in the same
window, is granted on top of each deadline.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from launch.bench import kill_timeline as timeline
from launch.bench.faults_book import Book, Line, summarise
from launch.bench.faults_driver import EXHAUST, HANG, HANG_S, MARK
from launch.bench.faults_judge import BRAKE_LAG_S, SLACK_M, deceleration
from launch.bench.faults_run import Outcome
from launch.bench.kill import conducted, make_session
from launch.bench.loop import ahead_of_the_load
from launch.bench.onlooker import Onlooker
from launch.manifest import git_revision
from launch.session import Session
from launch.supervisor import Backoff
from robot.clock import MonotonicClock
from robot.errors import SandlotError, nearest
from robot.messages import Cause, SafetyState
from robot.spec import RobotSpec
from sim.emulators.vesc import TIMEOUT_CHECK_NS

DRIVER = "launch.bench.faults_driver:SabotagedDriver"
STOPPED_S = 2.0
"""How long a process is kept stopped that must not matter."""
STANDS_S = 6.0
TRUTH_S = 0.01
"""Between two records of the truth."""
WOKEN_S = 0.5
"""How long a woken guardian is watched: less than a person takes to reset and arm it."""
BACK_S = 120.0
AUTHORITY = [int(SafetyState.ACTIVE), int(SafetyState.REDUCED)]
STALLS = (Cause.OVERRUN, Cause.SENSOR_STALE, Cause.COMMAND_STALE)
"""What a machine that stands still for a moment looks like to the guardian."""


@dataclass(frozen=True)
class Act:
    """What is done to which process. ``number``: the signal; ``fatal``: it must be started again."""

    process: str
    number: signal.Signals
    fatal: bool
    summary: str

    @property
    def stops_robot(self) -> bool:
        return self.process in ("pilot", "guardian")


ACTS: dict[str, Act] = {
    "process_pilot_stopped": Act("pilot", signal.SIGSTOP, False, "SIGSTOP of the pilot"),
    "process_pilot_killed": Act("pilot", signal.SIGKILL, True, "SIGKILL of the pilot"),
    "process_pilot_hung": Act("pilot", HANG, False, "the pilot holds its interpreter's lock for 2 s"),
    "process_guardian_stopped": Act("guardian", signal.SIGSTOP, False, "SIGSTOP of the guardian"),
    "process_guardian_killed": Act("guardian", signal.SIGKILL, True, "SIGKILL of the guardian"),
    "process_courier_stopped": Act("courier", signal.SIGSTOP, False, "SIGSTOP of the courier"),
    "process_courier_killed": Act("courier", signal.SIGKILL, True, "SIGKILL of the courier"),
    "process_pilot_starved": Act("pilot", EXHAUST, True, "the pilot's memory is exhausted"),
    "process_learner_stopped": Act("learner", signal.SIGSTOP, False, "SIGSTOP of the learner"),
    "process_learner_killed": Act("learner", signal.SIGKILL, True, "SIGKILL of the learner"),
}
"""In the order in which they are done: until the pilot dies again, the supervisor has forgotten its first
death."""


def chosen(names: Iterable[str]) -> list[str]:
    """Acts by name, all without any. Raises SandlotError with the nearest name."""
    names = tuple(names)
    for name in names:
        if name not in ACTS:
            raise SandlotError(f"no process fault {name!r}; {nearest(name, ACTS)}")
    return [name for name in ACTS if not names or name in names]


def run(
    acts: Iterable[str],
    runs: int,
    book: Path | None,
    speed: float = 1.5,
    progress: Callable[[Outcome, int, int], None] = lambda outcome, done, total: None,
) -> list[Line]:
    """Each act ``runs`` times, one after another, less those that ``book`` has. Raises SandlotError if the
    robot does not drive again after one."""
    names = chosen(acts)
    if runs < 1 or speed <= 0:
        raise SandlotError(f"runs {runs} and speed {speed:g}: both must be more than 0")
    record = Book(book)
    known = record.known()
    todo = [(n, name) for n in range(runs) for name in names if (name, n, "") not in known]
    # One session without a learner, whose starting and learning everything else would wait for, and one with.
    robot = [act for act in todo if ACTS[act[1]].process != "learner"]
    learner = [act for act in todo if ACTS[act[1]].process == "learner"]
    for part, done in ((robot, 0), (learner, len(robot))):
        if part:
            _session(part, record, speed, partial(_counted, progress, done, len(todo)))
    outcomes = [o for o in record.outcomes if o.seed < runs]
    return [summarise(name, (), outcomes) for name in names]


def _counted(
    progress: Callable[[Outcome, int, int], None],
    before: int,
    total: int,
    outcome: Outcome,
    done: int,
    _: int,
) -> None:
    progress(outcome, before + done, total)


def _session(
    todo: list[tuple[int, str]], book: Book, speed: float, progress: Callable[[Outcome, int, int], None]
) -> None:
    """All that is to do, in one session."""
    directory = Path(tempfile.mkdtemp(prefix="sandlot-faults-"))
    revision = git_revision()
    learning = ACTS[todo[0][1]].process == "learner"
    try:
        session = make_session(directory, speed, todo[0][0], DRIVER)
        with conducted(session, learning) as alive, ahead_of_the_load():
            onlooker = Onlooker(session, MonotonicClock(), alive, speed, learning)
            for done, (number, name) in enumerate(todo, 1):
                rng = np.random.default_rng([number, *name.encode()])
                outcome = _perform(session, onlooker, name, number, rng, revision)
                book.add(outcome)
                progress(outcome, done, len(todo))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _perform(
    session: Session, onlooker: Onlooker, name: str, seed: int, rng: np.random.Generator, revision: str
) -> Outcome:
    """One act, mid-drive, and what came of it."""
    act, clock = ACTS[name], MonotonicClock()
    onlooker.until_steady()
    before = onlooker.starts(act.process)
    if act.fatal and len(before) > 1:
        # A process that dies again soon is started later each time: let the supervisor forget the last one.
        healthy_ns = before[-1][0] + round((Backoff().healthy_s + 1.0) * 1e9)
        onlooker.wait(max(0, healthy_ns - clock.now_ns()) / 1e9)
        onlooker.until_steady()
    onlooker.forget()
    onlooker.wait(0.2 + float(rng.uniform(0.0, 0.1)))  # nothing may be in step with the loops
    process = before[-1][1]
    marks = _marks(session)
    act_ns = clock.now_ns()
    os.kill(process, act.number)
    stood = True
    try:
        if act.stops_robot:
            onlooker.until(
                lambda: np.isfinite(timeline.standstill_ms(onlooker.truth(), act_ns)),
                STANDS_S,
                "a standstill",
            )
            onlooker.wait(0.2)
        else:
            onlooker.wait(STOPPED_S)
    except SandlotError:
        stood = False
    marked = _marks(session)
    struck = _struck(act, process, marked if len(marked) > len(marks) else [])
    ticks, truth = onlooker.ticks(), onlooker.truth()
    again = ""
    if act.number == signal.SIGSTOP:
        again = _woken(act, process, onlooker, clock)
    elif act.number == HANG:
        onlooker.wait(max(0.0, HANG_S - (clock.now_ns() - act_ns) / 1e9))
    if act.fatal:
        onlooker.until(
            lambda: len(onlooker.starts(act.process)) > len(before), BACK_S, f"{act.process} to come back"
        )
    begin_ns = max([act_ns, *marked[len(marks) :]])
    outcome = _judge(session, act, name, seed, revision, begin_ns, struck, stood, ticks, truth)
    if again and outcome.verdict == "passed":
        outcome = msgspec.structs.replace(outcome, verdict="escaped", problems=again)
    return outcome


def _woken(act: Act, process: int, onlooker: Onlooker, clock: MonotonicClock) -> str:
    """Let a stopped process go on. A guardian must not take up what it did: the problem, if it does."""
    woken_ns = clock.now_ns()
    os.kill(process, signal.SIGCONT)
    if act.process != "guardian":
        return ""
    onlooker.wait(WOKEN_S)
    ticks = onlooker.ticks()
    after = ticks[ticks["time_ns"] > woken_ns]
    if not len(after):
        return "woken: it did not go on"
    drove = int(np.isin(after["safety_state"], AUTHORITY).sum())
    return f"woken: it drove on for {drove} ticks" if drove else ""


def _struck(act: Act, process: int, marked: list[int]) -> bool:
    """Whether the process is really stopped, gone, or has said what is being done to it."""
    if act.number in (HANG, EXHAUST):
        return bool(marked)
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        state = "gone"
    return state == "T" if act.number == signal.SIGSTOP else state in ("gone", "Z", "X")


def _marks(session: Session) -> list[int]:
    """When the pilot's driver said that it was sabotaged [ns]."""
    path = session.output / "pilot.txt"
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return [int(line.split()[-1]) for line in lines if line.startswith(MARK)]


def stood_still(spec: RobotSpec, cause: Cause | None, late_ms: float) -> bool:
    """Whether the machine itself stood still for so long that it stops the robot, whatever else is done: a
    run that shows nothing, and has to be made again."""
    stops_s = min(spec.safety.overrun_s, *(sensor.stale_s for sensor in spec.sensors))
    return cause in STALLS and late_ms / 1e3 + TRUTH_S >= stops_s


def _judge(
    session: Session,
    act: Act,
    name: str,
    seed: int,
    revision: str,
    begin_ns: int,
    struck: bool,
    stood: bool,
    ticks: timeline.Records,
    truth: timeline.Records,
) -> Outcome:
    spec, problems = session.spec, {}
    last_ns = int(truth["time_ns"][-1])
    gap_ms = timeline.gap_max_ms(truth, 0, last_ns) - TRUTH_S * 1e3
    late_ms = timeline.lateness_max_ms(ticks, begin_ns, last_ns)
    late_ms = float(np.nanmax([0.0, gap_ms, late_ms]))
    speed = timeline.speed_at(truth, begin_ns)
    response = deadline = distance = bound = math.nan
    cause: Cause | None = None
    if act.process == "pilot":
        response = timeline.state_ms(ticks, begin_ns, [SafetyState.HOLD])
        deadline = spec.safety.command_timeout_s * 1e3 + 1e3 / spec.rates.guardian_hz + late_ms
    elif act.process == "guardian":
        response = timeline.braking_ms(truth, begin_ns, spec.scalar("drive_timeout_brake_current") / 2)
        check_ms = TIMEOUT_CHECK_NS / 1e6 + BRAKE_LAG_S * 1e3 / 2 + TRUTH_S * 1e3
        deadline = spec.scalar("drive_timeout") * 1e3 + check_ms + late_ms
    else:
        cause = timeline.first_cause(ticks, begin_ns, last_ns)
        if cause is not None:
            problems["stopped"] = (
                f"the robot stopped, {late_ms:.0f} ms of the machine's own lateness in the window"
            )
    if act.stops_robot:
        if not response <= deadline:
            problems["deadline"] = f"responded after {response:.1f} ms, {deadline:.1f} allowed"
        distance = timeline.stop_distance_m(truth, begin_ns)
        reaction_s = deadline / 1e3 + BRAKE_LAG_S
        after = timeline.speeds(truth)[truth["time_ns"] > begin_ns - TRUTH_S * 1e9]
        fastest = float(after.max()) if len(after) else speed
        bound = fastest * reaction_s + fastest**2 / (2 * deceleration(spec)) + SLACK_M
        if not stood:
            problems["stands"] = f"still moved after {STANDS_S:g} s"
        elif not distance <= bound:
            problems["distance"] = f"{distance:.2f} m to standstill, {bound:.2f} m allowed"
    if not struck:
        verdict = "not_injected"
    elif stood_still(spec, cause, late_ms):
        verdict = "broken"
    else:
        verdict = "escaped" if problems else "passed"
    return Outcome(
        cell=name,
        seed=seed,
        defect="",
        verdict=verdict,
        problems="; ".join(f"{kind}: {text}" for kind, text in problems.items()),
        injected=int(struck),
        response_ms=response,
        deadline_ms=deadline,
        speed_m_per_s=speed,
        distance_m=distance,
        bound_m=bound,
        state=SafetyState(int(ticks["safety_state"][-1])).name if len(ticks) else "",
        cause="" if cause is None else cause.name,
        drawn=f"machine {late_ms:.1f} ms late",
        revision=revision,
    )
