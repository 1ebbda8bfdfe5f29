"""The fault campaign in short: every cell injected while the robot drives, every defective robot caught; and
the campaign's own books and harness."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest

from launch.bench import faults_campaign as campaign
from launch.bench.faults_book import Book, escape_bound, summarise
from launch.bench.faults_campaign import Task, fly, in_fork, tasks_of
from launch.bench.faults_cell import CELLS, Cell, chosen
from launch.bench.faults_judge import Expected
from launch.bench.faults_processes import ACTS, stood_still
from launch.bench.faults_processes import run as run_processes
from launch.bench.faults_run import Outcome, Run
from launch.catalogue import find
from robot.errors import SandlotError
from robot.messages import Cause
from robot.spec import load_spec

stats = pytest.importorskip("scipy.stats")

ROOT = Path(__file__).parents[3]
DEFECT_RUNS = 10
"""Of the campaign's first drive, and no more than it takes to catch the defective robot. The real one's are
those that caught a defective one, in every cell: whatever errs as those do is caught here."""


def outcome(cell: str = "a", seed: int = 0, verdict: str = "passed", **more: object) -> Outcome:
    plain = {
        "cell": cell,
        "seed": seed,
        "defect": "",
        "verdict": verdict,
        "problems": 'a "problem", with commas',
        "injected": 3,
        "response_ms": 50.0,
        "deadline_ms": 60.0,
        "speed_m_per_s": 2.0,
        "distance_m": 0.9,
        "bound_m": 1.2,
        "state": "HOLD",
        "cause": "SENSOR_STALE",
        "drawn": "delay_s 0.1, to host",
    }
    return Outcome(**(plain | more))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def short_campaign(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], list[Outcome]]:
    """Outcomes by cell and defect."""
    found: dict[tuple[str, str], list[Outcome]] = {}

    def caught(task: Task) -> bool:
        return "escaped" in [o.verdict for o in found.get((task.cell, task.defect), ())]

    defective = tasks_of(CELLS.values(), 0, 0, DEFECT_RUNS)
    for flown in fly(0, defective, tmp_path_factory.mktemp("defective"), caught):
        found.setdefault((flown.cell, flown.defect), []).append(flown)
    telling = {(o.cell, o.seed) for outcomes in found.values() for o in outcomes if o.verdict == "escaped"}
    real = [Task(cell, seed) for cell, seed in sorted(telling)]
    for flown in fly(0, real, tmp_path_factory.mktemp("real")):
        found.setdefault((flown.cell, ""), []).append(flown)
    return found


@pytest.mark.slow
@pytest.mark.xdist_group("short_campaign")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CELLS)
def test_no_fault_escapes(name: str, short_campaign: dict[tuple[str, str], list[Outcome]]) -> None:
    outcomes = short_campaign[name, ""]
    assert {o.verdict for o in outcomes} == {"passed"}, [
        (Task(o.cell, o.seed).command(), o.problems) for o in outcomes if o.verdict != "passed"
    ]


@pytest.mark.slow
@pytest.mark.xdist_group("short_campaign")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "defect"), [(c.name, d.__name__) for c in CELLS.values() for d in c.defects]
)
def test_a_defective_robot_is_caught(
    name: str, defect: str, short_campaign: dict[tuple[str, str], list[Outcome]]
) -> None:
    verdicts = [o.verdict for o in short_campaign[name, defect]]
    assert "escaped" in verdicts
    assert "broken" not in verdicts


def test_every_cell_names_a_defective_robot_and_says_what_happens() -> None:
    assert len(CELLS) >= 50
    for cell in CELLS.values():
        assert cell.defects and cell.summary and cell.row, cell.name


@pytest.mark.slow
def test_a_run_depends_on_its_cell_and_seed_alone(tmp_path: Path) -> None:
    """Not on what is flown beside it, nor in which order: that is what makes it reproducible."""
    cells = chosen(["serial_drop_some", "command_random_bits", "pilot_hangs_and_returns"])
    together = list(fly(1, tasks_of(cells, 10, 4, 0), tmp_path))
    for one in together[::5]:
        (alone,) = fly(1, [Task(one.cell, one.seed)], tmp_path)
        assert msgspec.json.encode(alone) == msgspec.json.encode(one)


@pytest.fixture
def with_cell(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[Run], Expected]], None]:
    def add(name: str, inject: Callable[[Run], Expected]) -> None:
        monkeypatch.setitem(CELLS, name, Cell(name, "row", "summary", inject, ()))

    return add


def does_nothing(run: Run) -> Expected:
    return Expected("never")


def raises(run: Run) -> Expected:
    raise ZeroDivisionError("a bug in a cell")


def hangs(run: Run) -> Expected:
    while True:
        pass


def expects_what_does_not_come(run: Run) -> Expected:
    run.hit()
    return Expected("must", within_s=0.1)


@pytest.mark.slow
def test_what_was_not_injected_broke_or_hung_is_never_a_pass(
    with_cell: Callable[[str, Callable[[Run], Expected]], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    injects = (does_nothing, raises, expects_what_does_not_come)
    for inject in (*injects, hangs):
        with_cell(inject.__name__, inject)
    flown = {o.cell: o for o in fly(0, [Task(inject.__name__, 0) for inject in injects], tmp_path)}
    monkeypatch.setattr(campaign, "HUNG_S", 0.5)
    flown |= {o.cell: o for o in fly(0, [Task("hangs", 0)], tmp_path)}
    assert {name: o.verdict for name, o in flown.items()} == {
        "does_nothing": "not_injected",
        "raises": "broken",
        "expects_what_does_not_come": "escaped",
        "hangs": "broken",
    }
    assert "hung" in flown["hangs"].problems
    lines = {name: summarise(name, (), list(flown.values())) for name in flown}
    assert (lines["does_nothing"].runs, lines["does_nothing"].not_injected) == (0, 1)
    assert (lines["raises"].runs, lines["raises"].broken) == (0, 1)
    assert lines["expects_what_does_not_come"].escapes == 1


def test_a_fork_says_what_it_found_or_how_it_died() -> None:
    import os
    import signal

    assert in_fork(lambda: b"x" * 100_000) == (b"x" * 100_000, "")
    assert in_fork(partial(os.kill, os.getpid(), 0))[0] == b""  # returns None: no bytes, so it is no answer
    data, why = in_fork(lambda: os.kill(os.getpid(), signal.SIGKILL) or b"never")
    assert (data, why) == (b"", "killed by SIGKILL")


@pytest.mark.parametrize(("escapes", "runs"), [(0, 1), (0, 60), (0, 1000), (1, 1000), (7, 50), (3, 3)])
def test_the_bound_is_that_of_clopper_and_pearson(escapes: int, runs: int) -> None:
    exact = stats.beta.ppf(0.95, escapes + 1, runs - escapes) if escapes < runs else 1.0
    assert escape_bound(escapes, runs) == pytest.approx(exact, rel=1e-6)


def test_a_thousand_runs_without_an_escape_bound_it_by_the_rule_of_three() -> None:
    assert escape_bound(0, 1000) == pytest.approx(3 / 1000, rel=0.01)


def test_the_book_goes_on_where_it_was_even_in_the_middle_of_a_row(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "faults.csv"
    first = Book(path)
    first.add(outcome(seed=0))
    first.add(outcome(seed=1, response_ms=math.nan, bound_m=math.inf))
    first.add(outcome(seed=2, verdict="broken"))
    with path.open("a") as file:
        file.write("a,3,,pass")
    again = Book(path)
    assert again.known() == {("a", 0, ""), ("a", 1, "")}  # what broke, and what was torn, is done again
    assert again.outcomes[0] == first.outcomes[0]
    assert math.isnan(again.outcomes[1].response_ms) and math.isinf(again.outcomes[1].bound_m)
    again.add(outcome(seed=3))
    assert [o.seed for o in Book(path).outcomes] == [0, 1, 2, 3]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "practice.csv"
    path.write_text("robot,course\nracer,oval\n")
    with pytest.raises(SandlotError, match="columns are robot, course"):
        Book(path)


def test_the_table_counts_what_was_shown_and_nothing_else() -> None:
    outcomes = [
        outcome(seed=0, response_ms=30.0, distance_m=0.2),
        outcome(seed=1, response_ms=59.0),
        outcome(seed=2, verdict="escaped", distance_m=2.0),
        outcome(seed=3, verdict="not_injected", response_ms=99.0),
        outcome(cell="b", seed=0, verdict="escaped"),
        outcome(seed=0, verdict="escaped", defect="careless"),
        outcome(seed=1, defect="careless"),
        outcome(seed=1, defect="lucky"),
    ]
    line = summarise("a", ("careless", "lucky", "untried"), outcomes)
    assert (line.runs, line.escapes, line.not_injected, line.broken) == (3, 1, 1, 0)
    assert line.worst is outcomes[1] and line.longest is outcomes[2]
    assert line.caught == {"careless": (1, 2), "lucky": (0, 1), "untried": (0, 0)}
    assert line.uncaught == ["lucky"]


def test_an_unknown_cell_is_answered_with_the_nearest() -> None:
    with pytest.raises(SandlotError, match="pilot_silent"):
        chosen(["pilot_silence"])
    with pytest.raises(SandlotError, match="process_pilot_killed"):
        run_processes(["process_pilot_kill"], 1, None)


@pytest.mark.slow
def test_defective_robots_are_within_reach_of_the_campaign_alone() -> None:
    allowed = {p.name for p in (ROOT / "launch/bench").glob("faults*.py")}
    for package in ("robot", "sim", "learners", "launch"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text())
            names = {
                name
                for node in ast.walk(tree)
                for name in (
                    [a.name for a in node.names]
                    if isinstance(node, ast.Import)
                    else [f"{node.module}.{a.name}" for a in node.names]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
            }
            made = ("faults_defects", "faults_defective_devices", "faults_driver")
            sabotage = [n for n in names if any(m in n for m in made)]
            assert not sabotage or path.name in allowed, f"{path} imports {sabotage}"


def test_nothing_is_started_for_a_request_that_makes_no_sense() -> None:
    from launch.bench.faults import once, run

    with pytest.raises(SandlotError, match="at least 1"):
        run(runs=0)
    with pytest.raises(SandlotError, match="more than 0"):
        run_processes((), 0, None)
    with pytest.raises(SandlotError, match="guardian_without_command_timeout"):
        once("pilot_silent", 0, "guardian_without_timeout")


@pytest.mark.slow
def test_workers_share_the_work_and_a_second_call_finds_it_done(tmp_path: Path) -> None:
    from launch.bench.faults import run

    path = tmp_path / "faults.csv"
    seen: list[Outcome] = []
    cells = ("pilot_silent", "serial_drop_1")
    lines = run(cells, 2, 1, path, workers=2, progress=lambda o, done, total: seen.append(o))
    defects = sum(len(CELLS[name].defects) for name in cells)
    assert len(seen) == 4 + defects
    assert [(line.cell, line.runs, line.escapes) for line in lines] == [
        (name, 2, 0) for name in CELLS if name in cells
    ]
    more = run(cells, 2, 1, path, progress=lambda o, done, total: pytest.fail("it was there already"))
    assert [(line.cell, line.runs, line.caught) for line in more] == [
        (line.cell, line.runs, line.caught) for line in lines
    ]


@pytest.mark.slow
@pytest.mark.realtime
def test_real_processes_stopped_killed_hung_and_starved(tmp_path: Path) -> None:
    acts = [name for name in ACTS if "learner" not in name]
    for _ in range(3):  # what a machine that stood still has broken is made again
        lines = run_processes(acts, 1, tmp_path / "faults.csv")
        if all(line.runs for line in lines):
            break
    assert {line.cell: (line.runs, line.escapes, line.not_injected) for line in lines} == dict.fromkeys(
        acts, (1, 0, 0)
    )


@pytest.mark.parametrize(
    ("cause", "late_ms", "expected"),
    [
        (Cause.OVERRUN, 54.0, True),
        (Cause.SENSOR_STALE, 43.0, True),  # the twin's last word is up to 10 ms old when the machine stops
        (Cause.COMMAND_STALE, 39.0, False),
        (Cause.LIMIT, 54.0, False),
        (None, 54.0, False),
    ],
)
def test_only_a_machine_that_stood_still_excuses_a_stop(
    cause: Cause | None, late_ms: float, expected: bool
) -> None:
    assert stood_still(load_spec(find("robots", "racer")), cause, late_ms) is expected


def test_random_numbers_of_a_run_are_its_own() -> None:
    draws = {
        (cell, seed): tuple(np.random.default_rng([seed, *cell.encode()]).random(2))
        for cell in CELLS
        for seed in range(20)
    }
    assert len(set(draws.values())) == len(draws)
