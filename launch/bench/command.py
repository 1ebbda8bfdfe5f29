"""``sandlot bench``: run one measurement, show it, and print it as one flat JSON object on the last line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict

import msgspec
from rich.console import Console
from rich.table import Table

from launch.manifest import machine
from launch.options.bench_fidelity import (
    BenchCalibrationOptions,
    BenchCrosscheckOptions,
    BenchEstimateOptions,
    BenchProceduresOptions,
    BenchSurrogatesOptions,
)
from launch.options.bench_practice import BenchPracticeOptions
from launch.options.bench_safety import (
    BenchCalmOptions,
    BenchFaultsOptions,
    BenchKillOptions,
    BenchRecordingOptions,
    BenchRefusalsOptions,
    BenchTeleopOptions,
)
from launch.options.bench_speed import (
    BenchFramesOptions,
    BenchLearnerOptions,
    BenchLoopOptions,
    BenchPolicyOptions,
    BenchTickOptions,
    BenchTransportOptions,
    BenchTwinOptions,
)
from robot.errors import SandlotError


def loop(options: BenchLoopOptions) -> int:
    """The guardian's lateness."""
    from launch.bench.loop import run

    return _show("bench loop", run(options.seconds, options.rate_hz, options.load), options.json)


def tick(options: BenchTickOptions) -> int:
    """What a tick costs."""
    from launch.bench.tick import run

    return _show("bench tick", run(options.seconds, options.seed), options.json)


def transport(options: BenchTransportOptions) -> int:
    """Transitions per second."""
    from launch.bench.transport import run

    return _show("bench transport", run(options.seconds), options.json)


def policy(options: BenchPolicyOptions) -> int:
    """Observation to command."""
    from launch.bench.policy import run

    return _show("bench policy", run(options.swaps), options.json)


def recording(options: BenchRecordingOptions) -> int:
    """Killed recordings, or cameras."""
    if options.cameras:
        from launch.bench.cameras import run as cameras

        console = Console(stderr=True)
        return _show("bench cameras", cameras(options.seconds, options.seed, console.print), options.json)
    from launch.bench.recording import run, summary

    console, kills = Console(stderr=True), []
    for kill in run(options.runs, options.csv):
        kills.append(kill)
        if len(kills) % 50 == 0:
            worst = max(k.battery_s for k in kills)
            console.print(f"{len(kills)} of {options.runs}: a pulled battery cost {worst:.2f} s at most")
    return _show("bench recording", summary(kills), options.json)


def learner(options: BenchLearnerOptions) -> int:
    """Critic updates per second."""
    if options.against is not None:
        from launch.bench.against import run as against

        found = against(options.against, options.seconds, options.threads)
        return _show(f"bench learner against {options.against}", found, options.json)
    if options.device != "cpu":
        from launch.bench.learner_device import run as on_device

        return _show("bench learner", on_device(options.seconds, options.device), options.json)
    from launch.bench.learner import run

    return _show("bench learner", run(options.seconds, options.threads), options.json)


def frames(options: BenchFramesOptions) -> int:
    """Pictures."""
    from launch.bench.frames import run

    return _show("bench frames", run(options.frames, options.seconds, options.folder), options.json)


def kill(options: BenchKillOptions) -> int:
    """Processes killed mid-drive."""
    from launch.bench.kill import run

    say = Console(stderr=options.json).print
    figures = run(options.repeats, options.speed, options.seed, progress=say)
    return _show("bench kill", figures, options.json)


def teleop(options: BenchTeleopOptions) -> int:
    """Latency of a person's inputs, and vanished devices."""
    from launch.bench.teleop import run

    figures = run(options.inputs, options.vanishes, options.seed, Console(stderr=options.json).print)
    return _show("bench teleop", figures, options.json)


def faults(options: BenchFaultsOptions) -> int:
    """Faults injected while the robot drives. 1 if one escaped, or a defective robot went uncaught."""
    from launch.bench import faults_processes as processes
    from launch.bench import faults_table as shown
    from launch.bench.faults import once, run
    from launch.bench.faults_cell import chosen

    console = Console(stderr=options.json)
    if options.list:
        console.print(shown.catalogue(chosen(options.cells)))
        console.print(shown.processes(processes.ACTS), "(these with --processes)")
        return 0
    if options.seed is not None or options.defect:
        if len(options.cells) != 1 or options.seed is None:
            raise SandlotError("--seed and --defect repeat one run: name one cell and a --seed")
        outcome = once(options.cells[0], options.seed, options.defect)
        console.print(shown.in_full(outcome), highlight=False, soft_wrap=True)
        if options.json:
            print(msgspec.json.encode(outcome).decode())
        return 0 if outcome.verdict == "passed" else 1
    with shown.watching(console) as progress:
        if options.processes:
            lines = processes.run(options.cells, options.runs or 60, options.csv, progress=progress)
        else:
            lines = run(
                options.cells,
                options.runs or 1000,
                options.defect_runs,
                options.csv,
                options.workers,
                progress,
            )
    console.print(shown.table(f"bench faults: {machine()}", lines))
    if not options.processes:
        console.print(shown.defects(lines))
    if options.json:
        print(json.dumps(shown.figures(lines)))
    return int(any(line.escapes or line.broken or line.uncaught for line in lines))


def practice(options: BenchPracticeOptions) -> int:
    """Sessions in lockstep, a CSV row each."""
    from launch.bench.practice import run

    say = Console(stderr=options.json).print
    for seed in options.seeds:
        where = f"{options.robot} on {options.course}, {options.driver}, seed {seed}, {options.minutes:g} min"
        where += f", surrogate {options.surrogate}" if options.surrogate else ""
        say(f"{where}: running")
        row = run(
            options.robot,
            options.course,
            options.driver,
            seed,
            options.minutes,
            options.held_out,
            options.csv,
            options.runs,
            options.keep,
            options.surrogate,
        )
        if row is None:
            say(f"{where}: already in {options.csv}")
            continue
        shown = ("laps", "first_autonomous_lap_min", "last_5_min_deterministic_lap_s", "failures_last_5_min")
        say(f"{where}: " + ", ".join(f"{name} {row[name]}" for name in (*shown, "times_real_time")))
        if options.json:
            print(json.dumps(dict(row)))
    return 0


def twin(options: BenchTwinOptions) -> int:
    """Closed-loop episodes a minute. 1 if they differ with the number of threads."""
    from launch.bench.twin import agreement, run

    course, episodes, policy, timestep = options.course, options.episodes, options.policy, options.timestep
    if options.against_timestep is not None:
        figures = agreement(course, episodes, policy, (timestep, options.against_timestep))
        return _show("bench twin, timesteps", figures, options.json)
    processors = os.cpu_count() or 1
    figures = run(course, episodes, options.seconds, options.repeats, policy, timestep, processors)
    _show("bench twin", figures, options.json)
    return int(not figures["bit_identical"])


def estimate(options: BenchEstimateOptions) -> int:
    """Errors of the estimated state."""
    from launch.bench.estimate import run, save

    say = Console(stderr=options.json).print
    file, figures = run(options.drives, options.seconds, options.seed, progress=say)
    if options.out is not None:
        save(file, options.out)
        say(f"written to {options.out}")
    return _show("bench estimate", figures, options.json)


def calibration(options: BenchCalibrationOptions) -> int:
    """Identification of hidden robots."""
    from launch.bench.calibration import PRACTICE, PRACTITIONER, run

    say = Console(stderr=options.json).print
    setup = PRACTICE if options.practice else PRACTITIONER
    found = run(options.robots, options.seconds, options.seed, options.csv, setup, options.threads, say)
    return _show("bench calibration", found, options.json)


def procedures(options: BenchProceduresOptions) -> int:
    """Calibration of hidden robots, procedure by procedure."""
    from launch.bench.procedures import figures, lines, run

    console = Console(stderr=options.json)
    rows = run(options.robots, options.seed, options.csv, options.runs, console.print)
    table, shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0)), ""
    table.add_column("quantity", no_wrap=True)
    for column in ("n", "pass", "hold", "cover", "error", "mean z", "most z", "ref"):
        table.add_column(column, justify="right", no_wrap=True)
    for line in lines(rows):
        if line.procedure != shown:
            table.add_row(f"[bold]{(shown := line.procedure)}")
        table.add_row(
            line.quantity, *(str(v) for v in (line.n, line.passed, line.holds)), f"{line.coverage:.0%}",
            f"{line.median_error:.2g}", f"{line.mean_sigmas:+.1f}", f"{line.worst_sigmas:.1f}",
            "" if line.accepted is None else str(line.accepted),
        )  # fmt: skip
    console.print(table)
    console.print("error: the median's size; z: in stated standard deviations; ref: within the reference's")
    for row in rows:
        if row.refused:
            console.print(f"robot {row.robot}, {row.procedure}, refused: {row.refused}", highlight=False)
    return _show("bench procedures", figures(rows), options.json)


def surrogates(options: BenchSurrogatesOptions) -> int:
    """The twin and its surrogates on the same commands, a column each."""
    from launch.bench.surrogates import picture, run

    courses, measured = run(options.robot, options.names)
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    table.add_column("", no_wrap=True)
    for course in courses:
        table.add_column(course.name, justify="right", no_wrap=True)
    for name in measured[0]:
        table.add_row(name, *(f"{figures[name]:.3g}" for figures in measured))
    Console(stderr=options.json).print(table)
    if options.png is not None:
        options.png.write_bytes(picture(courses))
    if options.json:
        for course, figures in zip(courses, measured, strict=True):
            print(json.dumps({"car": course.name} | figures))
    return 0


def crosscheck(options: BenchCrosscheckOptions) -> int:
    """The twin's word against surrogates."""
    from launch.bench.crosscheck import Study, files, findings, picture, run

    console = Console(stderr=options.json)
    study = Study(
        policies=files(options.sources, options.count),
        surrogates=options.surrogates,
        robot=options.robot,
        course=options.course,
        episodes=options.episodes,
        minutes=options.minutes,
        seed=options.seed,
    )
    made = run(study, options.csv, options.runs, console.print)
    table = Table(box=None, pad_edge=False)
    for column in ("surrogate", "policies", "r", "MMRV", "of those that pass G3", "r", "MMRV",
                   "failures if passed", "if refused"):  # fmt: skip
        table.add_column(column, justify="right")
    for found in findings(made, options.surrogates):
        cells = [found.surrogate]
        for part in (found.every, found.passing):
            cells += ["0 or 1", "", ""] if part is None else [
                str(part.policies), f"{part.r:.2f}", f"{part.rank_violation:.2f}"
            ]  # fmt: skip
        cells += [f"{value:.1f}" for value in found.failures]
        table.add_row(*cells)
        if options.json:
            print(json.dumps(asdict(found)))
    console.print(table)
    if options.png is not None:
        options.png.write_bytes(picture(made, options.surrogates))
    return 0


def calm(options: BenchCalmOptions) -> int:
    """False stops in normal driving."""
    from launch.bench.calm import run

    say = Console(stderr=options.json).print
    figures = run(
        options.robot,
        options.courses,
        options.minutes,
        options.session_minutes,
        options.seed,
        options.bumps,
        progress=say,
    )
    _show("bench calm", figures, options.json)
    return 1 if figures["safety_stops"] else 0


def refusals(options: BenchRefusalsOptions) -> int:
    """Bad policies and bundles, and who refuses them."""
    from launch.bench.refusals import ask_all

    found = ask_all(
        options.run,
        options.policy,
        options.course,
        options.other_course,
        options.csv,
        options.episodes,
        options.good_seeds,
        lambda line: print(line, flush=True),
    )
    return _show("bench refusals", found, options.json)


def _show(title: str, figures: Mapping[str, float | int | str], as_json: bool) -> int:
    table = Table(title=f"{title}: {machine()}", title_justify="left", show_header=False, box=None)
    for name, value in figures.items():
        table.add_row(name, f"{value:,.4g}" if isinstance(value, float) else str(value))
    Console(stderr=as_json).print(table)
    if as_json:
        print(json.dumps(dict(figures)))
    return 0
