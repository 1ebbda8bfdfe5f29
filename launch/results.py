"""What policies did on the twin and on the robot: one CSV per robot, to which ``sandlot validate`` and
``sandlot run`` add a row each time, and from which G8 pairs them."""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from robot.errors import SandlotError
from sim.validation.score import Pair, lap_score

COLUMNS = ("time", "where", "course", "policy_sha256", "laps", "failures", "score", "source")
"""``where``: twin or robot. ``score``: ``sim.validation.score``'s. ``source``: the run or the report."""
Where = Literal["twin", "robot"]


def results_file(folder: Path, robot: str, surrogate: str = "") -> Path:
    """Of a robot; a surrogate is a robot of its own, never to be taken for the real one."""
    return folder / (f"{robot}-as-{surrogate}.csv" if surrogate else f"{robot}.csv")


def add_result(
    file: Path, where: Where, course: str, policy: str, laps: int, failures: int, source: Path
) -> None:
    """Add a row, and the header if the file is new, in one write. ``policy``: its SHA-256."""
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat()
    row = (now, where, course, policy, laps, failures, f"{lap_score(laps, failures):.6f}", str(source))
    file.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if not file.exists():
        writer.writerow(COLUMNS)
    writer.writerow(row)
    with file.open("a", newline="") as out:
        out.write(text.getvalue())


def read_pairs(file: Path, course: str, newest: Mapping[str, float] = MappingProxyType({})) -> list[Pair]:
    """Every policy with results of both on this course: the newest of the twin (``newest``: newer scores than
    the file's), and all laps on the robot together, where one was begun; none without a file. Raises
    SandlotError for one that is not ours."""
    if not file.exists():
        return []
    twin: dict[str, float] = {}
    robot: dict[str, tuple[int, int]] = {}
    with file.open(newline="") as stream:
        for number, row in enumerate(csv.DictReader(stream), start=2):
            try:
                if row["course"] == course:
                    _sort(row, twin, robot)
            except (KeyError, TypeError, ValueError) as error:
                raise SandlotError(
                    f"{file}, line {number}: {error!r}; expected columns {', '.join(COLUMNS)}"
                ) from None
    twin |= newest
    return [Pair(p, twin[p], lap_score(*robot[p])) for p in twin if any(robot.get(p, ()))]


def _sort(row: Mapping[str, str], twin: dict[str, float], robot: dict[str, tuple[int, int]]) -> None:
    policy, laps, failures = row["policy_sha256"], int(row["laps"]), int(row["failures"])
    if row["where"] == "twin":
        twin[policy] = float(row["score"])
    elif row["where"] == "robot":
        before = robot.get(policy, (0, 0))
        robot[policy] = (before[0] + laps, before[1] + failures)
    else:
        raise ValueError(f"where {row['where']!r}: twin or robot was expected")
