"""What a person is good for who steps in before the car hits a wall: practice with and without one, from the
same demonstration. What they do is prior data like the demonstration, and a takeover costs the policy.

Whole sessions on the twin in lockstep, a simulated person (``robot.teleop.rescuer``). Resumable: a run whose
rows are there is not made again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from launch.bench.practice import append, rows
from launch.experiments.cases import keep_picture, lines, missing
from launch.manifest import Setup
from launch.session import create_session

MINUTES: Final = 6
"""Of practice [min]."""
UPDATE_RATIO: Final = 4
"""Half of what a robot has: a run then takes half the time, and what a person adds shows all the same."""
CASES: Final[Mapping[str, tuple[str, float | None]]] = {
    "alone": ("", None),
    "with a person": ("rescuer", None),
    "with a person who costs nothing": ("rescuer", 0.0),
}
"""The device of who may step in, and the reward of a takeover if it is not the robot's."""


def run(csv_file: Path, seeds: Sequence[int], progress: Callable[[str], None]) -> None:
    """All cases with each seed, a row for each minute; a table, and a picture beside the file."""
    for seed, case in missing(csv_file, seeds, CASES):
        found = measure(*CASES[case], seed, MINUTES)
        append(csv_file, *({"case": case, "seed": seed, **row} for row in found))
        last = found[-1]
        progress(f"{case}, seed {seed}: {last['failures']} failures, {last['laps']} laps in {MINUTES} min")
    table = Table("case", "failures", "takeovers", "laps", "best lap [s]")
    for case in CASES:
        mine = [r for r in rows(csv_file) if r["case"] == case and float(r["step"]) == MINUTES]
        cells = [", ".join(r[key] for r in mine) for key in ("failures", "takeovers", "laps", "best_lap_s")]
        table.add_row(case, *cells)
    Console().print(table)
    keep_picture(csv_file, _drawn(csv_file), progress)


def measure(device: str, takeover_reward: float | None, seed: int, minutes: float) -> list[dict[str, object]]:
    """A session: for each minute what there has been until then. ``step`` is the minute."""
    from launch.lockstep import practise_lockstep
    from launch.run_data import RunData

    setup = Setup(demonstration_laps=1, update_ratio=UPDATE_RATIO, teleop=device)
    with tempfile.TemporaryDirectory(prefix="sandlot-intervention-") as scratch:
        session = create_session(
            "racer",
            "oval",
            role="practice",
            runs=Path(scratch),
            twin=True,
            fast=True,
            seed=seed,
            minutes=minutes,
            setup=setup,
        )
        if takeover_reward is not None:
            practice = session.manifest.spec["practice"] | {"takeover_reward": takeover_reward}
            session = session.with_changed({"practice": practice})
        practise_lockstep(session)
        data = RunData(session)
        failures, takeovers = data.minutes_of("failure"), data.minutes_of("takeover")
        own = [lap for lap in data.laps if lap.autonomous]
        found: list[dict[str, object]] = []
        for minute in np.unique(np.append(np.arange(1.0, minutes), minutes)):
            laps = [lap.time_s for lap in own if lap.end_min <= minute]
            found.append(
                {
                    "step": round(float(minute), 3),
                    "failures": int((failures <= minute).sum()),
                    "takeovers": int((takeovers <= minute).sum()),
                    "laps": len(laps),
                    "best_lap_s": round(min(laps), 2) if laps else "",
                }
            )
        return found


def _drawn(csv_file: Path) -> bytes:
    from launch.figures import Panel, panels

    found = rows(csv_file)
    parts = [Panel(label, lines(found, CASES, key)) for label, key in PANELS]
    return panels("Practice with and without a person who steps in: a line per seed", "practice [min]", parts)


PANELS: Final = (("failures", "failures"), ("laps by itself", "laps"), ("takeovers", "takeovers"))
