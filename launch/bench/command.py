"""``sandlot bench``: run one measurement, show it, and print it as one flat JSON object on the last line."""

from __future__ import annotations

import json
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from launch.manifest import machine
from launch.options import (
    BenchKillOptions,
    BenchLoopOptions,
    BenchPolicyOptions,
    BenchPracticeOptions,
    BenchTransportOptions,
)


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


def kill(options: BenchKillOptions) -> int:
    """Processes killed mid-drive."""
    from launch.bench.kill import run

    say = Console(stderr=options.json).print
    figures = run(options.repeats, options.speed, options.seed, progress=say)
    return _show("bench kill", figures, options.json)


def practice(options: BenchPracticeOptions) -> int:
    """Sessions in lockstep, a CSV row each."""
    from launch.bench.practice import run

    say = Console(stderr=options.json).print
    for seed in options.seeds:
        where = f"{options.robot} on {options.course}, {options.driver}, seed {seed}, {options.minutes:g} min"
        say(f"{where}: running")
        row = run(
            options.robot,
            options.course,
            options.driver,
            seed,
            options.minutes,
            options.csv,
            options.runs,
            options.keep,
        )
        if row is None:
            say(f"{where}: already in {options.csv}")
            continue
        shown = ("laps", "first_autonomous_lap_min", "last_5_min_deterministic_lap_s", "failures_last_5_min")
        say(f"{where}: " + ", ".join(f"{name} {row[name]}" for name in (*shown, "times_real_time")))
        if options.json:
            print(json.dumps(dict(row)))
    return 0


def _show(title: str, figures: Mapping[str, float], as_json: bool) -> int:
    table = Table(title=f"{title}: {machine()}", title_justify="left", show_header=False, box=None)
    for name, value in figures.items():
        table.add_row(name, f"{value:,.4g}" if isinstance(value, float) else str(value))
    Console(stderr=as_json).print(table)
    if as_json:
        print(json.dumps(dict(figures)))
    return 0
