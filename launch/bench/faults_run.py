"""One fault on one drive: injected, watched, judged."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from launch.bench.faults_drive import Drive
from launch.bench.faults_judge import BRAKE_LAG_S, SLACK_M, Expected, Witness, deceleration
from robot.layout import Struct
from robot.messages import SafetyState
from sim.emulators.faults import Fault, Kind

UNDISTURBED_S = 1.0
"""How long a robot is watched that must not mind."""
SETTLED_S = 0.2
"""How long a robot must have stood before the watch ends: one that starts again by itself is caught."""
LIMIT_S = 6.0

AGAIN = (SafetyState.ARMING, SafetyState.ACTIVE, SafetyState.REDUCED)
TORQUE_OFF = (SafetyState.STOP0, SafetyState.FAULT, SafetyState.ESTOP, SafetyState.BOOT, SafetyState.STANDBY)


class Outcome(Struct):
    """``verdict``: passed; escaped (``problems`` says what went wrong); not_injected (the fault never struck,
    so nothing was shown); broken (the run itself failed, or the machine stood still meanwhile). Times and
    distances count from the fault's first effect; NaN: never, or no bound."""

    cell: str
    seed: int
    defect: str
    verdict: str
    problems: str
    injected: int
    response_ms: float
    deadline_ms: float
    speed_m_per_s: float
    distance_m: float
    bound_m: float
    state: str
    cause: str
    drawn: str
    revision: str = ""


@dataclass
class Run:
    """What a cell's inject function works on. ``hit``: call for each time the fault struck; faults on the
    lines count themselves. ``watch_s``: at least so long is watched. ``on_tick``, ``on_seen``: called before
    and after each guardian tick with the time [ns]."""

    drive: Drive
    rng: np.random.Generator
    drawn: dict[str, float | str] = field(default_factory=dict)
    watch_s: float = 0.0
    on_tick: list[Callable[[int], None]] = field(default_factory=list)
    on_seen: list[Callable[[int], None]] = field(default_factory=list)
    response_ns: Callable[[Witness, int], int | None] | None = None
    """When the robot has responded, if it is not the guardian that does."""
    checks: list[Callable[[], str | None]] = field(default_factory=list)
    """Asked at the end; what they say is a problem."""
    hits: int = 0
    first_ns: int | None = None

    def hit(self, now_ns: int | None = None) -> None:
        self.hits += 1
        if self.first_ns is None:
            self.first_ns = self.drive.now_ns if now_ns is None else now_ns

    def uniform(self, name: str, low: float, high: float) -> float:
        """A number drawn for this run."""
        value = float(self.rng.uniform(low, high))
        self.drawn[name] = float(f"{value:.4g}")
        return value

    def choose(self, name: str, *choices: str) -> str:
        value = choices[int(self.rng.integers(len(choices)))]
        self.drawn[name] = value
        return value

    def line(self, kind: Kind, device: str = "vesc", *, lasts_s: float = 1e6, **options: object) -> None:
        """A fault on a serial line from a random moment of the coming period on."""
        start_s = self.drive.now_ns * 1e-9 + self.uniform("phase_s", 0.0, self.drive.period_ns * 1e-9)
        plain = {"kind": kind, "start_s": start_s, "end_s": start_s + lasts_s, **options}
        self.drive.lines[device].add(Fault(**plain))  # type: ignore[arg-type]

    def struck(self) -> tuple[int, int | None]:
        """How often the fault struck, and when first [ns]."""
        lines = self.drive.lines.values()
        firsts = [ns for line in lines for ns in line.first_ns.values()]
        firsts += [] if self.first_ns is None else [self.first_ns]
        hits = self.hits + sum(sum(line.counts.values()) for line in lines)
        return hits, min(firsts) if firsts else None


Inject = Callable[[Run], Expected]


def perform(
    drive: Drive,
    inject: Inject | None,
    rng: np.random.Generator,
    defective: bool = False,
    compared: bool = False,
) -> tuple[Run, Expected, Witness]:
    """Inject (None: nothing, for comparison) and watch; a ``defective`` robot only until it is caught."""
    for line in drive.lines.values():
        line.listen()
    witness = Witness(drive, compared)
    run = Run(drive, rng)
    expected = Expected("never") if inject is None else inject(run)
    drive.before_tick = lambda now_ns: _all(run.on_tick, now_ns)
    begin_ns = drive.now_ns
    for _ in range(round(LIMIT_S * 1e9) // drive.period_ns):
        drive.tick()
        _all(run.on_seen, drive.now_ns)
        witness.see(drive.now_ns)
        if defective and witness.problems:
            break  # caught
        if drive.now_ns - begin_ns >= run.watch_s * 1e9 and _over(drive, expected, witness, begin_ns):
            break
    return run, expected, witness


def _all(calls: list[Callable[[int], None]], now_ns: int) -> None:
    for call in calls:
        call(now_ns)


def _over(drive: Drive, expected: Expected, witness: Witness, begin_ns: int) -> bool:
    elapsed_s = (drive.now_ns - begin_ns) * 1e-9
    if expected.torque_off_s is not None and drive.state not in TORQUE_OFF:
        return elapsed_s > expected.torque_off_s + 0.5
    if expected.stop == "never" or (expected.stop == "may" and witness.stopped_at() is None):
        return elapsed_s >= UNDISTURBED_S
    if expected.reaction_s is None:
        return elapsed_s >= max(UNDISTURBED_S, expected.within_s + SETTLED_S)
    stood = witness.stood_at()
    return stood is not None and (drive.now_ns - witness.times[stood]) * 1e-9 >= SETTLED_S


def judge(
    cell: str,
    seed: int,
    defect: str,
    run: Run,
    expected: Expected,
    witness: Witness,
    calm: list[int] | None = None,
) -> Outcome:
    """The verdict. ``calm``: the ticks of the same drive without the fault, where they must be the same."""
    drive = run.drive
    problems = dict(witness.problems)
    for check in run.checks:
        if text := check():
            problems["check"] = text
    hits, first_ns = run.struck()
    begin_ns = witness.times[0] - drive.period_ns if first_ns is None else first_ns
    for name in ("true_age", "verbatim", "genuine"):
        if not getattr(expected, name):
            problems.pop(name, None)
            for consequence in {"true_age": ("blind",), "verbatim": ("range", "slew")}.get(name, ()):
                problems.pop(consequence, None)
    stopped = witness.stopped_at()
    own = run.response_ns is not None
    response = run.response_ns(witness, begin_ns) if run.response_ns else None
    if not own and stopped is not None:
        response = witness.times[stopped]
    response_ms = math.nan if response is None else (response - begin_ns) * 1e-6
    if expected.stop == "must":
        if not response_ms <= expected.within_s * 1e3 + 1e-6:
            problems["deadline"] = (
                f"responded after {response_ms:.1f} ms, {expected.within_s * 1e3:.1f} allowed"
            )
    elif expected.stop == "never" and stopped is not None:
        problems["stopped"] = f"stopped ({witness.states[stopped].name}) though nothing required it"
    if stopped is not None and expected.stop != "never":
        if witness.states[stopped] not in expected.states:
            problems["state"] = f"{witness.states[stopped].name} instead of {_names(expected.states)}"
        again = [s.name for s in witness.states[stopped:] if s in AGAIN]
        if again:
            problems["again"] = f"went to {again[0]} again without a person"
    distance, bound = _distance(run, expected, witness, begin_ns, response)
    if not math.isnan(bound) and not distance <= bound:
        problems["distance"] = f"{distance:.2f} m to standstill, {bound:.2f} m allowed"
    if expected.torque_off_s is not None:
        _judge_torque(expected, witness, begin_ns, problems)
    if calm is not None and calm != witness.digest[: len(calm)]:
        first = next((i for i, (a, b) in enumerate(zip(calm, witness.digest, strict=False)) if a != b), -1)
        problems["different"] = f"tick {first} of {len(calm)} differs from the drive without the fault"
    verdict = "not_injected" if hits == 0 else "escaped" if problems else "passed"
    kernel = drive.guardian.kernel
    return Outcome(
        cell=cell,
        seed=seed,
        defect=defect,
        verdict=verdict,
        problems="; ".join(f"{name}: {text}" for name, text in problems.items()),
        injected=hits,
        response_ms=response_ms,
        deadline_ms=expected.within_s * 1e3 if expected.stop == "must" else math.nan,
        speed_m_per_s=witness.speeds[0],
        distance_m=distance,
        bound_m=bound,
        state=kernel.state.name,
        cause=kernel.cause.name,
        drawn=", ".join(f"{name} {value}" for name, value in run.drawn.items()),
    )


def _distance(
    run: Run, expected: Expected, witness: Witness, begin_ns: int, response: int | None
) -> tuple[float, float]:
    """Way from the fault (where the robot only may stop: from its decision) to standstill, and what it may
    be: v * reaction + v^2 / 2a."""
    if expected.reaction_s is None or expected.stop == "never":
        return math.nan, math.nan
    reaction_s = expected.within_s if expected.reaction_s < 0 else expected.reaction_s
    if expected.stop == "may":
        if response is None:
            return math.nan, math.nan
        begin_ns = response
    times = np.array(witness.times)
    start = max(int(np.searchsorted(times, begin_ns)) - 1, 0)
    end_of_reaction = int(np.searchsorted(times, begin_ns + (reaction_s + BRAKE_LAG_S) * 1e9))
    fastest = max(witness.speeds[start : end_of_reaction + 1])
    slowing = deceleration(run.drive.spec)
    bound = fastest * (reaction_s + BRAKE_LAG_S) + fastest**2 / (2 * slowing) + SLACK_M
    stood = witness.stood_at(start)
    if stood is None:
        return math.inf, bound
    return witness.distance(start, stood), bound


def _judge_torque(expected: Expected, witness: Witness, begin_ns: int, problems: dict[str, str]) -> None:
    off = next((i for i, state in enumerate(witness.states) if state in TORQUE_OFF), None)
    limit_s = expected.torque_off_s or 0.0
    if off is None or (witness.times[off] - begin_ns) * 1e-9 > limit_s + 1e-9:
        when = "never" if off is None else f"after {(witness.times[off] - begin_ns) * 1e-9:.2f} s"
        problems["torque"] = f"torque off {when}, {limit_s:.2f} s allowed"


def _names(states: tuple[SafetyState, ...]) -> str:
    return " or ".join(state.name for state in states)
