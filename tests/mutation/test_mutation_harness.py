"""The harness, on a package made to be mutated: it can report a survivor, a crash and a hang, and counts
nothing as killed that it did not see killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from mutants import Source
from mutation_results import Equivalents, EquivalentsError, Journal, Report, Result
from mutation_run import judge

HERE = Path(__file__).parent

SUBJECT = """
import ctypes
import os
import signal
import time

LIMIT = 5


def seen(x):
    return x < LIMIT


def unseen(x):
    return x <= 7


def leaves_without_a_word(x):
    if x > 100:
        os._exit(0)
    return x


def segfaults(x):
    if x > 101:
        ctypes.string_at(0)
    return x


def counts_down(x):
    while x > 0:
        x = x - 1
    return x


def sleeps(x):
    if x > 102:
        time.sleep(3600)
    return x


def is_killed_by_somebody(x):
    if x > 103:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def unrun():
    return 3
"""

SUITE = """
from victim.subject import *

def test_seen():
    assert seen(4) and not seen(5)

def test_unseen():
    assert unseen(3) and not unseen(20)

def test_all():
    assert leaves_without_a_word(1) == segfaults(2) == 1 or True
    assert counts_down(3) == 0
    assert sleeps(1) == is_killed_by_somebody(1) == 1

def test_of_tests():
    raise AssertionError("it is left out")
"""

DRIVER = """
import sys
from collections.abc import Iterable
from pathlib import Path
sys.path.insert(0, {here!r})
import mutation_campaign, mutation_plan, mutation_results, mutation_run
root = Path(sys.argv[1])
plan = mutation_plan.Plan(
    root, "victim", ("tests/test_subject.py",), root / "kept", ("victim", "tests"), left_out=("of_tests",)
)
context = plan.snapshot()
sources = plan.sources()
everything = [m for s in sources.values() for m in s.mutants]
mutants = [m for m in everything if f"{{m.function}}: {{m.mutation}}" in sys.argv[2:]]
mutation_campaign.prepare(plan)
baseline, _ = mutation_plan.measure(plan, context, 5)
run = mutation_campaign.run_tests
mutation_campaign.run_tests = lambda *a: run(*a[:6], cpu_s=1.0, wall_s=12.0)
journal = mutation_results.Journal(plan.keep / "results.jsonl")

def tell(number, mutant, told):
    print(f"{{told.outcome}} {{mutant.function}}: {{mutant.mutation}} | {{told.detail}}", flush=True)

mutation_campaign.run_campaign(plan, context, baseline, sources, mutants, journal, tell=tell)
"""


def subject(folder: Path) -> Path:
    for name, text in (
        ("victim/__init__.py", ""),
        ("victim/subject.py", SUBJECT),
        ("tests/test_subject.py", SUITE),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def command(folder: Path, chosen: Iterable[str]) -> list[str]:
    return [sys.executable, "-c", DRIVER.format(here=str(HERE)), str(folder), *chosen]


def campaign(folder: Path, chosen: Iterable[str]) -> list[str]:
    done = subprocess.run(command(folder, chosen), capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


FATES = {
    "seen: x < LIMIT -> x <= LIMIT": "killed",
    "<module>: 5 -> 6": "killed",
    "unseen: x <= 7 -> x < 7": "survived",
    "unrun: 3 -> 4": "survived",  # no test runs it: nothing noticed
    "leaves_without_a_word: if x > 100: -> if True:": "crashed",  # with status 0, which proves nothing
    "segfaults: if x > 101: -> if True:": "crashed",
    "counts_down: x - 1 -> x + 1": "timeout",
    "sleeps: if x > 102: -> if True:": "timeout",
    "is_killed_by_somebody: if x > 103: -> if True:": "unrun",
}


@pytest.mark.slow
def test_each_fate_is_told_from_every_other(tmp_path: Path) -> None:
    """The harness must be able to say each of its five words: a survivor, a crash and a hang are seeded."""
    found = {}
    for line in campaign(subject(tmp_path), FATES):
        outcome, name = line.split(" | ")[0].split(" ", 1)
        found[name] = outcome
    assert found == FATES


@pytest.mark.slow
def test_a_killed_campaign_goes_on_where_it_was_and_nothing_unrun_counts(tmp_path: Path) -> None:
    chosen = ["seen: x < LIMIT -> x <= LIMIT", "seen: x < LIMIT -> x >= LIMIT", "<module>: 5 -> 6"]
    subject(tmp_path)
    mutants = [
        m for m in Source("victim/subject.py", SUBJECT).mutants if f"{m.function}: {m.mutation}" in chosen
    ]
    process = subprocess.Popen(
        command(tmp_path, chosen), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    journal = Journal(tmp_path / "kept/results.jsonl")
    assert 1 <= len(journal.results) <= len(mutants)
    known = journal.of(journal.results[0].context, "all")
    report = Report.of(mutants, known, Equivalents(tmp_path / "none.toml"))
    assert len(report.listed("killed")) == sum(r.outcome == "killed" for r in known.values())
    assert len(report.listed("unrun")) == len(mutants) - len(known)
    assert report.good == (len(known) == len(mutants))
    again = campaign(tmp_path, chosen)
    assert len(again) == len(mutants) - len(known)
    assert first.strip() not in again, "what is known is not run again"


NOTHING = b'{"started": true}\n'
FAILED = NOTHING + b'{"failed": "t", "when": "call", "why": "no"}\n'
PASSED = NOTHING + b'{"passed": "t", "seconds": 0.1}\n'


@pytest.mark.parametrize(
    ("said", "status", "late", "outcome"),
    [
        (FAILED + b'{"finished": 1, "chosen": 2, "ran": 0}\n', 0, False, "killed"),
        (PASSED + b'{"finished": 0, "chosen": 1, "ran": 1}\n', 0, False, "survived"),
        (FAILED, 0, False, "crashed"),
        (PASSED, 0, False, "crashed"),
        (FAILED, 1 << 8, False, "crashed"),
        (FAILED, signal.SIGSEGV, False, "crashed"),
        (FAILED, signal.SIGKILL, False, "unrun"),
        (NOTHING, signal.SIGTERM, False, "unrun"),
        (b"", 0, False, "unrun"),
        (b"", 70 << 8, False, "unrun"),
        (FAILED, signal.SIGKILL, True, "timeout"),
        (NOTHING, signal.SIGXCPU, False, "timeout"),
        (NOTHING + b'{"finished": 5, "chosen": 0, "ran": 0}\n', 0, False, "unrun"),
        (NOTHING + b'{"finished": 3, "chosen": 4, "ran": 2}\n', 0, False, "unrun"),
        (PASSED + b'{"finished": 0, "chosen": 2, "ran": 1}\n', 0, False, "unrun"),
        (NOTHING + b'{"finished": 0, "cho', 0, False, "crashed"),
    ],
)
def test_only_a_child_that_ran_to_its_end_kills_or_clears(
    said: bytes, status: int, late: bool, outcome: str
) -> None:
    assert judge(said, status, late, 1.0).outcome == outcome


def test_a_journal_cut_at_any_byte_loses_no_more_than_its_last_result(tmp_path: Path) -> None:
    whole = Journal(tmp_path / "whole")
    results = [Result("c", f"m{k}", "killed", "why", 0.5, "t") for k in range(3)]
    for result in results:
        whole.add(result)
    data = (tmp_path / "whole").read_bytes()
    for end in range(len(data) + 1):
        path = tmp_path / "cut"
        path.write_bytes(data[:end])
        cut = Journal(path)
        assert cut.results == results[: len(cut.results)]
        assert len(cut.results) >= data[:end].count(b"\n")
        cut.add(results[2])
        assert Journal(path).results[-1] == results[2]


def test_equivalents_must_exist_have_reasons_and_live(tmp_path: Path) -> None:
    mutants = Source("f.py", SUBJECT).mutants
    one = next(m for m in mutants if m.mutation == "x <= 7 -> x < 7")
    path = tmp_path / "equivalents.toml"

    def listed(reason: str = "because", line: str = one.line) -> Equivalents:
        path.write_text(
            f'[[equivalent]]\nfile = "f.py"\nfunction = "unseen"\nline = "{line}"\n'
            f'mutation = "{one.mutation}"\nreason = "{reason}"\n'
        )
        return Equivalents(path)

    with pytest.raises(EquivalentsError, match="no reason"):
        listed(" ")
    with pytest.raises(EquivalentsError, match="no such mutants any more"):
        listed(line="return x <= 8").require_current(mutants)
    equivalents = listed()
    equivalents.require_current(mutants)
    fate = {m.digest: Result("c", m.digest, "survived" if m == one else "killed", "", 0.0) for m in mutants}
    assert Report.of(mutants, fate, equivalents).good
    assert not Report.of(mutants, fate, Equivalents(tmp_path / "none")).good
    noticed = {m.digest: Result("c", m.digest, "killed", "", 0.0) for m in mutants}
    assert not Report.of(mutants, noticed, equivalents).good


def test_the_checked_in_equivalents_are_current() -> None:
    root = HERE.parents[1]
    files = sorted((root / "robot/safety").glob("*.py"))
    mutants = [m for f in files for m in Source.read(root, str(f.relative_to(root))).mutants]
    assert len({m.key for m in mutants}) == len({m.digest for m in mutants}) == len(mutants) > 900
    Equivalents(HERE / "equivalents.toml").require_current(mutants)


def test_a_mutants_name_outlives_edits_elsewhere_in_the_file() -> None:
    moved = Source("s", "# a line more\n" + SUBJECT.replace("LIMIT = 5", "OTHER = 1\nLIMIT = 5"))
    assert {m.digest for m in Source("s", SUBJECT).mutants} <= {m.digest for m in moved.mutants}
