"""``sandlot bench``: run one measurement, show it, and print it as one flat JSON object on the last line."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from launch.manifest import machine
from launch.options import BenchLoopOptions, BenchPolicyOptions, BenchTransportOptions


def loop(options: BenchLoopOptions) -> int:
    """The guardian's lateness."""
    from launch.bench.loop import run

    return _show("bench loop", run(options.seconds, options.rate_hz, options.load), options.json)


def transport(options: BenchTransportOptions) -> int:
    """Transitions per second."""
    from launch.bench.transport import run

    return _show("bench transport", run(options.seconds), options.json)


def policy(options: BenchPolicyOptions) -> int:
    """Observation to command."""
    from launch.bench.policy import run

    return _show("bench policy", run(options.swaps), options.json)


def _show(title: str, figures: Mapping[str, float], as_json: bool) -> int:
    table = Table(title=f"{title}: {machine()}", title_justify="left", show_header=False, box=None)
    for name, value in figures.items():
        table.add_row(name, f"{value:,.4g}" if isinstance(value, float) else str(value))
    Console(stderr=as_json).print(table)
    if as_json:
        print(json.dumps(dict(figures)))
    return 0
