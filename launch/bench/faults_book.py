"""The campaign's memory: a CSV with a row per run, and what the rows add up to."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from launch.bench.faults_run import Outcome
from robot.errors import SandlotError

COLUMNS = tuple(field.name for field in msgspec.structs.fields(Outcome))
SURE = 0.95


class Book:
    """Appends outcomes to ``path`` (None: to nothing) as they come; those that are there are ``outcomes``.

    A campaign that was interrupted, in the middle of a row even, goes on where it was. Raises SandlotError
    for a file that holds something else.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.outcomes: list[Outcome] = []
        if path is None or not path.exists():
            return
        text = path.read_text()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            path.write_text(whole)  # the last row was being written when the machine went down
        rows = list(csv.DictReader(whole.splitlines()))
        if rows and tuple(rows[0]) != COLUMNS:
            raise SandlotError(
                f"{path} is not a record of this campaign: its columns are {', '.join(rows[0])}; "
                "name another file with --csv"
            )
        for row in rows:
            try:
                self.outcomes.append(msgspec.convert(row, Outcome, strict=False))
            except msgspec.ValidationError as error:
                raise SandlotError(f"{path}: {error}; name another file with --csv") from None

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if self.path is None:
            return
        new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(COLUMNS)
            writer.writerow(getattr(outcome, name) for name in COLUMNS)

    def known(self) -> set[tuple[str, int, str]]:
        """Runs that need not be done again. One that broke is tried again."""
        return {(o.cell, o.seed, o.defect) for o in self.outcomes if o.verdict != "broken"}


@dataclass(frozen=True)
class Line:
    """One cell of the table. ``bound``: what the escape probability is below, with 95 % confidence, if runs
    are independent draws. ``worst``: of the runs with a deadline the one that came nearest to it;
    ``longest``: the same of distances. ``caught``: by defective robot, (runs that caught it, runs)."""

    cell: str
    runs: int
    not_injected: int
    broken: int
    escapes: int
    bound: float
    worst: Outcome | None
    longest: Outcome | None
    caught: dict[str, tuple[int, int]]

    @property
    def uncaught(self) -> list[str]:
        return [name for name, (caught, runs) in self.caught.items() if runs and not caught]


def summarise(cell: str, defects: Iterable[str], outcomes: Sequence[Outcome]) -> Line:
    """What the outcomes of one cell add up to."""
    mine = [o for o in outcomes if o.cell == cell]
    real = [o for o in mine if not o.defect]
    injected = [o for o in real if o.verdict in ("passed", "escaped")]
    escapes = [o for o in injected if o.verdict == "escaped"]
    caught = {}
    for defect in defects:
        tried = [o for o in mine if o.defect == defect and o.verdict in ("passed", "escaped")]
        caught[defect] = (sum(o.verdict == "escaped" for o in tried), len(tried))
    timed = [o for o in injected if math.isfinite(o.deadline_ms) and not math.isnan(o.response_ms)]
    measured = [o for o in injected if math.isfinite(o.bound_m) and not math.isnan(o.distance_m)]
    return Line(
        cell=cell,
        runs=len(injected),
        not_injected=sum(o.verdict == "not_injected" for o in real),
        broken=sum(o.verdict == "broken" for o in mine),
        escapes=len(escapes),
        bound=escape_bound(len(escapes), len(injected)),
        worst=max(timed, key=lambda o: o.response_ms / o.deadline_ms, default=None),
        longest=max(measured, key=lambda o: o.distance_m / o.bound_m, default=None),
        caught=caught,
    )


def escape_bound(escapes: int, runs: int) -> float:
    """The largest escape probability that is not refuted with 95 % confidence by so many escapes in so many
    runs (Clopper and Pearson 1934, one-sided): for none, 1 - 0.05^(1/runs), about 3 / runs."""
    if escapes >= runs:
        return 1.0
    if escapes == 0:
        return float(1.0 - (1.0 - SURE) ** (1.0 / runs))
    low, high = escapes / runs, 1.0
    for _ in range(60):  # bisection on the binomial distribution function
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(escapes, runs, middle) > 1.0 - SURE else (low, middle)
    return high


def _at_most(escapes: int, runs: int, probability: float) -> float:
    """Probability of no more than so many escapes."""
    log = math.lgamma
    return sum(
        math.exp(
            log(runs + 1)
            - log(k + 1)
            - log(runs - k + 1)
            + k * math.log(probability)
            + (runs - k) * math.log1p(-probability)
        )
        for k in range(escapes + 1)
    )
