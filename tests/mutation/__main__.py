"""Mutation testing of the safety kernel: would the tests notice if it were wrong?

    python tests/mutation run                 every mutant; goes on where it was stopped
    python tests/mutation run --tests quick --only limits.py
    python tests/mutation sample              a few of each file; all must be killed, or time out (for CI)
    python tests/mutation coverage            lines and branches of robot/safety, test by test; must be all
    python tests/mutation report              what is known so far
    python tests/mutation list                all mutants

Results, logs and the copy of the tree lie in .mutation/. Known equivalent mutants, each with the reason, are
in tests/mutation/equivalents.toml; an entry that matches no mutant any more is an error.
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from mutants import Mutant
from mutation_campaign import QUICK_EXAMPLES, preload, prepare, run_campaign
from mutation_plan import Plan, PlanError, measure
from mutation_results import LEVELS, Equivalents, EquivalentsError, Journal, Report
from mutation_run import Told

ROOT = Path(__file__).resolve().parents[2]
PLAN = Plan(
    ROOT,
    "robot/safety",
    ("tests/robot/safety", "tests/robot/test_guardian.py", "tests/robot/test_inbox.py"),
    ROOT / ".mutation",
    left_out=("test_seeded_defect_is_caught",),
)
EQUIVALENTS = Path(__file__).parent / "equivalents.toml"
SAMPLED_PER_FILE = 3


def sampled(mutants: list[Mutant], seed: int) -> list[Mutant]:
    """Of each file a few, by a hash of their names: an edit elsewhere does not change the choice."""
    chosen: list[Mutant] = []
    for file in sorted({m.file for m in mutants}):
        ranked = sorted((m for m in mutants if m.file == file), key=lambda m: hash_of(m, seed))
        chosen += ranked[:SAMPLED_PER_FILE]
    return chosen


def hash_of(mutant: Mutant, seed: int) -> int:
    return int(mutant.digest, 16) * 2654435761 * (2 * seed + 1) % (1 << 64)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python tests/mutation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "what", choices=("run", "sample", "coverage", "report", "list"), nargs="?", default="run"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="mutants whose name holds this text")
    parser.add_argument("--tests", choices=LEVELS, default="all", help="what a mutant has to live through")
    parser.add_argument("--unkilled", action="store_true", help="only those that lived when last tried")
    parser.add_argument("--seed", type=int, default=1, help="which sample")
    parser.add_argument(
        "--revision", default="", metavar="REV", help="as committed there, not as it lies here"
    )
    parser.add_argument("--json", action="store_true", help="the counts as JSON on the last line")
    options = parser.parse_args(arguments)
    try:
        return _main(options)
    except (PlanError, EquivalentsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _main(options: argparse.Namespace) -> int:
    if options.what in ("report", "list"):
        with tempfile.TemporaryDirectory() as folder:
            return _look(options, dataclasses.replace(PLAN, keep=Path(folder)))
    PLAN.keep.mkdir(exist_ok=True)
    with (PLAN.keep / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PlanError("another run is under way; `report` shows how far it is") from None
        return _look(options, PLAN)


def _look(options: argparse.Namespace, plan: Plan) -> int:
    context = plan.snapshot(options.revision)
    sources = plan.sources()
    everything = [mutant for source in sources.values() for mutant in source.mutants]
    equivalents = Equivalents(EQUIVALENTS)
    equivalents.require_current(everything)
    mutants = [m for m in everything if options.only in str(m)]
    if options.what == "list":
        print("\n".join(map(str, mutants)))
        return 0
    journal = Journal(PLAN.keep / "results.jsonl")
    if options.unkilled:
        chosen = journal.unkilled()
        mutants = [m for m in mutants if m.digest in chosen]
    if options.what == "sample":
        mutants = sampled([m for m in mutants if m not in equivalents], options.seed)

    def level(mutant: Mutant) -> str:
        """What is known to be equivalent need not live through everything each time."""
        return "quick" if mutant in equivalents else str(options.tests)

    if options.what != "report":
        prepare(plan)
        baseline, measured = measure(plan, context, QUICK_EXAMPLES)
        preload(plan)
        if options.what == "coverage":
            total = measured.report(show_missing=True, skip_covered=False)
            print("every line and branch is run" if total >= 100.0 else "not every line and branch is run")
            return int(total < 100.0)
        started = time.monotonic()

        def tell(number: int, mutant: Mutant, told: Told) -> None:
            print(f"{number + 1}/{len(mutants)} {told.outcome} {told.seconds:.1f} s  {mutant}", flush=True)

        run_campaign(plan, context, baseline, sources, mutants, journal, level, tell)
        print(f"{time.monotonic() - started:.0f} s")
    known = {name: journal.of(context, name) for name in LEVELS}
    reached = {m.digest: known[level(m)][m.digest] for m in mutants if m.digest in known[level(m)]}
    report = Report.of(mutants, reached, equivalents)
    print(report.text())
    if options.json:
        counts = {o: len(report.listed(o)) for o in ("killed", "survived", "crashed", "timeout", "unrun")}
        print(json.dumps(counts | {"mutants": len(mutants), "equivalent": len(equivalents)}))
    if options.what == "sample":
        return int(len(report.listed("killed") + report.listed("timeout")) < len(mutants))
    return int(not report.good)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
