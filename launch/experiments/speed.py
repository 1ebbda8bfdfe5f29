"""How fast the learners are: updates a second beside the bare products of an update, and beside other
packages. One row for each case and each time it is measured; resumable.

Rows of several machines may lie in one file: what is there of this processor is not measured again. The
picture is of the processor that this one is.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from launch.bench.practice import append, rows
from launch.experiments.cases import keep_picture
from launch.installed import EXTRAS

if TYPE_CHECKING:
    from launch.bench.against import Package

SECONDS: Final = 10.0
"""Of measuring each, half of it what it is compared with."""
THREADS: Final = 1
OURS: Final = {"ten critics": "rlpd", "DroQ": "droq", "racer": "racer"}
"""Cases of ``sandlot bench learner`` by name."""
BESIDE: Final[dict[str, tuple[Package, str]]] = {
    "SAC beside SB3": ("sb3", "sac"),
    "SAC beside SBX": ("sbx", "sac"),
    "DroQ beside SBX": ("sbx", "droq"),
}
"""Cases of ``sandlot bench learner --against``: package and algorithm."""
COLUMNS: Final = (
    *("updates_per_s", "updates_p50_per_s", "cpu_ms_per_update", "limit_updates_per_s", "limit_ratio"),
    *("theirs_updates_per_s", "theirs_updates_p50_per_s", "theirs_cpu_ms_per_update"),
    *("theirs_first_update_extra_s", "sampling_cpu_ratio", "export_ms", "peak_memory_mb", "bfloat16"),
)


def run(csv_file: Path, seeds: Sequence[int], progress: Callable[[str], None]) -> None:
    """Every case that is installed once for each number of ``seeds``; a table, and a picture."""
    machine = processor()
    for seed in seeds:
        for case in (*OURS, *BESIDE):
            key = {"case": case, "seed": str(seed), "processor": machine}
            if any(key.items() <= row.items() for row in rows(csv_file)):
                continue
            if (lacks := missing_package(case)) is not None:
                progress(f"{case}: left out, {lacks} is not installed")
                continue
            found = measured(case)
            append(csv_file, key | {name: _short(found.get(name)) for name in COLUMNS})
            progress(f"{case}, {seed}: {found['updates_per_s']:.0f} updates/s")
    mine = [row for row in rows(csv_file) if row["processor"] == machine]
    Console().print(_table(mine))
    keep_picture(csv_file, _drawn(mine, machine), progress)


def missing_package(case: str) -> str | None:
    """The package that a case is measured beside, if it is not installed."""
    wanted = [name for name, extra in EXTRAS.items() if case in BESIDE and extra == BESIDE[case][0]]
    return next((name for name in wanted if importlib.util.find_spec(name) is None), None)


def processor() -> str:
    """What the machine calls its processor, and how many cores there are."""
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    return f"{names[0] if names else 'unknown'}, {os.cpu_count()} cores"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def measured(case: str) -> dict[str, float]:
    """A case's figures under the names of the columns."""
    if case in OURS:
        from launch.bench.learner import alone

        found = alone(OURS[case], SECONDS, THREADS)
        return found | {
            "limit_updates_per_s": found["products_limit_updates_per_s"],
            "limit_ratio": found["products_limit_ratio"],
        }
    from launch.bench.against import beside

    found = beside(*BESIDE[case], SECONDS, THREADS)
    return {name.removeprefix("ours_"): value for name, value in found.items()}


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"


def _values(found: Sequence[dict[str, str]], case: str, column: str) -> NDArray[np.float64]:
    return np.array([float(row[column] or "nan") for row in found if row["case"] == case])


def _mean(found: Sequence[dict[str, str]], case: str, column: str) -> str:
    values = _values(found, case, column)
    values = values[np.isfinite(values)]
    return f"{values.mean():.3g}" if len(values) else ""


def _table(found: Sequence[dict[str, str]]) -> Table:
    shown = {
        "best": "updates_per_s",
        "median": "updates_p50_per_s",
        "limit": "limit_updates_per_s",
        "theirs": "theirs_updates_per_s",
        "median ": "theirs_updates_p50_per_s",
        "sampling": "sampling_cpu_ratio",
        "export": "export_ms",
        "MB": "peak_memory_mb",
    }
    table = Table("updates/s", *shown)
    for case in (*OURS, *BESIDE):
        table.add_row(case, *(_mean(found, case, column) for column in shown.values()))
    return table


def _drawn(found: Sequence[dict[str, str]], machine: str) -> bytes:
    from launch.figures import Dots, dots

    groups = []
    for case in OURS:
        groups.append((case, _values(found, case, "updates_per_s")))
        groups.append(("limit", _values(found, case, "limit_updates_per_s")))
    for case in BESIDE:
        groups.append((case.replace(" beside ", "\nbeside "), _values(found, case, "updates_per_s")))
        groups.append((case.rpartition(" ")[2], _values(found, case, "theirs_updates_per_s")))
    return dots(f"Critic updates on one core ({machine}); limit: bare products", [Dots("updates/s", groups)])
