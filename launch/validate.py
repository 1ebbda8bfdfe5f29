"""``sandlot validate``: whether a policy may drive a robot, by the twin. Its report goes into a bundle."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from calibration.book import robot_id
from launch.bundle import policy_of
from launch.calibrated import name_of
from launch.clearance import require_loadable
from launch.conditions import conditions
from launch.crosschecks import TwinAndRobot, logs_of
from launch.episode_logs import save_worst
from launch.episodes import course_setting
from launch.manifest import git_revision
from launch.options.validate import ValidateOptions
from launch.parity import parity
from launch.results import add_result, results_file
from launch.spread import carry_out, spread
from launch.validation_page import page
from robot.bundle import SUFFIX, read_bundle
from robot.errors import SandlotError
from robot.frame_file import write_atomically
from robot.plain_data import sha256
from robot.validation_report import ValidationReport
from sim.rollout import Setting
from sim.validation.agreement import laps_and_failures
from sim.validation.examination import (
    FULL_EPISODES,
    SMOKE_EPISODES,
    Drive,
    Findings,
    Plan,
    drive_here,
    examine,
    overall,
)
from sim.validation.targets import targets_of

COURSE = "oval"
"""Where a policy is tried that no bundle says anything of."""
PLAIN_S = 20.0
"""How often a line says how far it is where there is no terminal [s]."""
COLOURS = {"pass": "green", "fail": "red", "skipped": "dim", "advisory": "yellow"}


def validate(options: ValidateOptions) -> int:
    """The command. Raises SandlotError for what is not the policy's fault; a policy that cannot even be
    loaded is a verdict."""
    console = Console(stderr=options.json)
    episodes = options.episodes
    if episodes is None:
        episodes = FULL_EPISODES if options.gate == "full" else SMOKE_EPISODES
    if episodes < 1:
        raise SandlotError(f"--episodes {episodes}: at least 1 was expected")
    course, world = place_of(options)
    setting = course_setting(
        options.robot, course, threads=options.threads, world=world, surrogate=options.surrogate
    )
    targets = targets_of(setting.spec)
    data = policy_bytes(options.source)
    digest = sha256(data)
    place = setting.course.name
    if setting.world.name != place:
        place += f"-in-{setting.world.name}"
    name = f"{setting.spec.name}-{place}-{options.gate}-{digest[:12]}"
    folder = options.out or Path("validation") / name
    folder.mkdir(parents=True, exist_ok=True)
    policy = folder / "policy.onnx"
    write_atomically(policy, data)
    against = None if options.against is None else folder / "against.onnx"
    if options.against is not None and against is not None:
        deployed = policy_bytes(options.against)
        require_loadable(deployed, setting.contract, options.against.name)
        write_atomically(against, deployed)
    plan = Plan(options.gate, episodes, options.seed)
    stand_in = name_of(options.surrogate)
    results = results_file(options.results, setting.spec.name, stand_in)
    robot = robot_id(setting.spec.name, stand_in)
    logs = logs_of(robot, options.source, options.logs)
    crosschecks = TwinAndRobot(setting, robot, logs, results, digest)
    console.print(
        f"{options.gate} gate of {options.source} on {setting.spec.name}, course {setting.course.name}, "
        f"world {setting.world.name}",
        highlight=False,
        markup=False,
    )
    with ProgressView(console) as view, driven(options.ray) as drive:
        trained = parity(options.source, setting.spec, options.seed)
        findings = examine(policy, setting, plan, targets, trained, against, view.watch, crosschecks, drive)
    report = report_of(findings, setting, plan, digest)
    write_atomically(folder / "report.json", report.encode())
    save_episodes(findings, folder / "episodes.npz")
    if findings.worst is not None:
        save_worst(findings.worst, setting, folder / "worst")
    write_atomically(folder / "report.html", page(report, findings, setting, str(options.source)).encode())
    if findings.nominal is not None and findings.randomised is not None:
        laps, failures = laps_and_failures(findings.nominal, findings.randomised)
        add_result(results, "twin", setting.course.name, digest, laps, failures, folder)
    console.print(table(report))
    console.print(last_line(report, folder), soft_wrap=True, highlight=False, markup=False)
    if options.json:
        print(report.encode().decode())
    return 0 if report.verdict == "pass" else 1


@contextlib.contextmanager
def driven(ray: str | None) -> Iterator[Drive]:
    """Where episodes are driven: here, or on the Ray cluster at an address. Raises SandlotError if there is
    none."""
    if ray is None:
        yield drive_here
        return
    from launch.ray_cluster import RayCluster

    cluster = RayCluster(ray, carry_out)
    try:
        yield partial(spread, cluster)
    finally:
        cluster.close()


def report_of(findings: Findings, setting: Setting, plan: Plan, digest: str) -> ValidationReport:
    """What is signed. ``digest``: of the policy's file, SHA-256."""
    return ValidationReport(
        policy_sha256=digest,
        contract_hash=setting.contract.hash(),
        calibration_hash=setting.spec.calibration_hash(),
        robot=setting.spec.name,
        gate=plan.gate,
        verdict=overall(findings.gates),
        created=datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat(),
        sandlot_version=importlib.metadata.version("sandlot"),
        git_revision=git_revision(),
        episodes=plan.episodes,
        seed=plan.seed,
        gates=tuple(findings.gates),
        conditions=conditions(setting.spec, setting.course, setting.world),
        course=setting.course.name,
        world=setting.world.name,
    )


def place_of(options: ValidateOptions) -> tuple[str, str | None]:
    """Course and world (None: named like the course): as asked for, else those of a bundle's full gate."""
    if options.course is None and is_bundle(options.source):
        before = read_bundle(options.source).content.report
        return before.course or COURSE, options.world or before.world or None
    return options.course or COURSE, options.world


def is_bundle(source: Path) -> bool:
    return source.suffix == SUFFIX and source.is_file()


def policy_bytes(source: Path) -> bytes:
    """Of a run, a policy or a bundle. Raises SandlotError if there is none."""
    if is_bundle(source):
        return read_bundle(source).content.policy
    return policy_of(source).read_bytes()


def save_episodes(findings: Findings, path: Path) -> None:
    """Each episode's row with what was drawn for it (``sim.episode_results``), so that any can be driven
    again: arrays ``nominal`` and ``randomised``, and the names of the columns of ``draws``."""
    if findings.nominal is None or findings.randomised is None:
        return
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            nominal=findings.nominal.rows,
            randomised=findings.randomised.rows,
            parameters=np.array(findings.nominal.parameters),
            limits=np.array(findings.nominal.limits),
        )


def table(report: ValidationReport) -> Table:
    """The gates for a terminal."""
    found = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("gate", "", "measured", "limit", "what it means"):
        found.add_column(column, overflow="fold", no_wrap=column != "what it means")
    for gate in report.gates:
        measured, limit = ("" if v is None else f"{v:.4g}" for v in (gate.measured, gate.limit))
        colour = COLOURS[gate.verdict]
        word = f"[{colour}]{gate.verdict}[/{colour}]"
        found.add_row(gate.name, word, measured, limit, gate.detail.replace("[", r"\["))
    return found


def last_line(report: ValidationReport, folder: Path) -> str:
    """The verdict, and where the report is."""
    why = "" if report.verdict == "pass" else f" ({', '.join(report.failed())})"
    if report.advisory():
        why += f" (the twin's word is advisory: {', '.join(report.advisory())})"
    return f"{report.verdict.upper()}{why}: {folder / 'report.html'}"


class ProgressView:
    """How far an examination is and how long it still takes: a bar on a terminal, lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console, self._live = console, console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description:<11}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            transient=True,
            disable=not self._live,
        )
        self._task = self._bar.add_task("network", total=1.0)
        self._started = self._told = time.monotonic()
        self._done = 0.0

    def __enter__(self) -> ProgressView:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def watch(self, what: str, done: float) -> None:
        """As ``sim.validation.examination.Watch`` has it; never goes back."""
        self._done = max(self._done, done)
        self._bar.update(self._task, completed=self._done, description=what)
        now = time.monotonic()
        if not self._live and now - self._told >= PLAIN_S and self._done > 0.0:
            left = (now - self._started) * (1.0 / self._done - 1.0)
            self._told = now
            self._console.print(f"{self._done:4.0%} {what}, about {left:.0f} s left", highlight=False)
