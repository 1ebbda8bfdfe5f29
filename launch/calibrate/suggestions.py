"""``sandlot calibrate --suggest``: what to drive next."""

from __future__ import annotations

import json

from rich.console import Console
from rich.table import Table

from calibration.suggestion import least_certain, suggest
from calibration.twin_parameters import twin_parameters
from robot.spec import RobotSpec


def suggestions(console: Console, spec: RobotSpec, as_json: bool) -> str:
    """Every candidate manoeuvre, the best one first, and what else each tells. Returns the best one."""
    target = least_certain(spec, twin_parameters(spec))
    console.print(f"least certain: {target}; each manoeuvre rehearsed on the twin …", highlight=False)
    found = suggest(spec)
    table = Table(box=None, pad_edge=False)
    for column in ("manoeuvre", "takes", f"leaves of {target}", "tells most about"):
        table.add_column(column)
    for one in found:
        best = sorted(one.left, key=lambda name: one.left[name])[:3]
        table.add_row(
            one.manoeuvre, f"{one.seconds:.0f} s", f"{100 * one.left[target]:.0f} % of sigma", ", ".join(best)
        )
    console.print(table)
    console.print(
        f"drive the first: sandlot calibrate {spec.name} --suggest --drive (and --hardware: the robot, not "
        f"the twin); or any by hand (sandlot teleop), then: sandlot calibrate {spec.name} twin --log RUN",
        highlight=False,
    )
    if as_json:
        print(json.dumps({"least_certain": target, "left": {one.manoeuvre: one.left for one in found}}))
    return found[0].manoeuvre
