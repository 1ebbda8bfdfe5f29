"""``sandlot doctor``: everything a session needs, looked at before anything moves.

Each check is a function that returns findings. The only bytes that leave are each device's firmware question
and, on closing, the drive's brake.
"""

from __future__ import annotations

import grp
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console

from launch import catalogue
from launch import doctor_deployed as deployed
from launch import doctor_people as people
from launch.calibrated import calibrated_spec
from launch.finding import Finding, Status, table
from launch.manifest import Manifest, load_manifest
from launch.options.doctor import DoctorOptions
from launch.session import SHARED_MEMORY, contract_of, make_task
from launch.supervisor import python_command
from robot.clock import MonotonicClock
from robot.contract import TaskContract
from robot.errors import PortError, SandlotError
from robot.messages import tick_dtype
from robot.plain_data import decode_struct, differences
from robot.practice.course import load_course
from robot.spec import RobotSpec

WITHOUT = {
    "learn": "the learner runs on another machine",
    "twin": "no twin here",
    "report": "reports are made elsewhere",
}
LISTEN_S = 1.5
"""How long a device may take to name its firmware [s]; a receiver at 10 Hz needs a few of its periods."""
ONBOARD = ("numpy", "msgspec", "zmq", "serial", "onnxruntime", "mcap", "lz4", "pyubx2", "cryptography")
SLOW_CLOCKS = ("hpet", "acpi_pm", "jiffies", "refined-jiffies")
LOG_HOURS = 1.0


def doctor(options: DoctorOptions) -> int:
    """Print the findings. 1 if any check failed, else 0."""
    findings = list(examine(options))
    failed = [f for f in findings if f.status == "failed"]
    if options.json:
        print(json.dumps({"healthy": not failed, "findings": [asdict(f) for f in findings]}))
        return 1 if failed else 0
    console = Console()
    console.print(table(findings))
    count = len([f for f in findings if f.status == "warning"])
    if failed:
        line = f"{len(failed)} of {len(findings)} checks failed; mend those before anything moves"
        console.print(line, style="red")
    else:
        console.print(f"ready{f', with {count} warnings' if count else ''}", style="green")
    return 1 if failed else 0


def examine(options: DoctorOptions) -> Iterator[Finding]:
    """All findings, most fundamental first."""
    yield from interpreter()
    yield from packages()
    spec, course, contract = None, None, None
    try:
        spec = calibrated_spec(options.robot)
        course = load_course(catalogue.find("courses", options.course))
        contract = contract_of(spec, make_task(spec, course))
    except SandlotError as error:
        yield Finding("contract", "failed", str(error))
    if spec is not None and contract is not None:
        yield from contracts(spec, contract, options.runs)
    if spec is not None:
        yield from ports(spec, options.twin)
        yield from people.enable(spec, options.twin)
        yield from people.estops(spec, options.twin)
        yield from people.proof(spec)
        yield from deployed.policy(spec, options.deployed, options.keys, course)
    yield from realtime()
    yield from clocks()
    if spec is not None:
        yield from disk(options.runs, spec)


def interpreter() -> Iterator[Finding]:
    version = platform.python_version()
    good = sys.version_info >= (3, 11)
    remedy = "" if good else "Install Python 3.11 or newer."
    yield Finding("python", "ok" if good else "failed", f"Python {version}", remedy)


def packages() -> Iterator[Finding]:
    """Whether everything that runs onboard is installed, and whether the learner and the twin are."""
    absent = [name for name in ONBOARD if importlib.util.find_spec(name) is None]
    if absent:
        yield Finding("packages", "failed", f"missing: {', '.join(absent)}", "Run: pip install .")
    else:
        yield Finding("packages", "ok", "everything that runs onboard is installed")
    for extra, names in (("learn", ("torch", "onnx")), ("twin", ("mujoco",)), ("report", ("matplotlib",))):
        absent = [name for name in names if importlib.util.find_spec(name) is None]
        if absent:
            text = f"{', '.join(absent)} not installed: {WITHOUT[extra]}"
            yield Finding("packages", "skipped", text, f"If it should: pip install '.[{extra}]'")


def contracts(spec: RobotSpec, contract: TaskContract, runs: Path) -> Iterator[Finding]:
    """The hashes, and what changed since the latest run."""
    yield Finding(
        "contract",
        "ok",
        f"{spec.name}: contract {contract.hash()[:12]}, calibration {spec.calibration_hash()[:12]}",
    )
    latest = runs / spec.name / "latest"
    if not (latest / "manifest.toml").exists():
        return
    try:
        before = load_manifest(latest)
        same = before.contract_hash == contract.hash()
        changed = [] if same else _changed(spec, before)
    except SandlotError as error:
        yield Finding("contract", "warning", f"the latest run cannot be compared: {error}")
        return
    if not same:
        shown = "; ".join(changed[:3]) or "the task's layout changed"
        yield Finding(
            "contract", "warning", f"differs from the latest run's: {shown}", "Its policies will be refused."
        )
    elif before.calibration_hash != spec.calibration_hash():
        yield Finding("contract", "warning", "calibration changed since the latest run; its data stays valid")


def _changed(spec: RobotSpec, before: Manifest) -> list[str]:
    """Raises SpecError for a run of another version, whose description is not understood here."""
    was = decode_struct(before.spec, RobotSpec, "the latest run's manifest")
    return differences(spec.contract(), was.contract())


def ports(spec: RobotSpec, twin: bool) -> Iterator[Finding]:
    """Each device's port: there, permitted, free, and the right firmware behind it."""
    if twin:
        yield Finding("ports", "skipped", "the twin brings its own")
        return
    for device in spec.devices:
        name = f"port {device.name}"
        try:
            yield _listen(spec, device.name, name)
        except PortError as error:
            yield Finding(name, "failed", str(error))
        except SandlotError as error:
            yield Finding(name, "failed", str(error), "Correct the robot's file.")
    yield from groups(spec)


def _listen(spec: RobotSpec, device_name: str, check: str) -> Finding:
    from robot.interface import Measurements, make_driver

    device = next(d for d in spec.devices if d.name == device_name)
    driver, clock, measurements = make_driver(spec, device), MonotonicClock(), Measurements(spec)
    driver.open(clock.now_ns())
    try:
        deadline_ns = clock.now_ns() + round(LISTEN_S * 1e9)
        while clock.now_ns() < deadline_ns and not driver.health.firmware:
            driver.poll(clock.now_ns(), measurements)
            clock.sleep_until(clock.now_ns() + 10_000_000)
    finally:
        driver.close()
    health = driver.health
    if not health.firmware:
        why = health.last_error or f"nothing answered within {LISTEN_S:g} s"
        return Finding(check, "failed", f"{device.port}: {why}", "Check power, wiring and baud rate.")
    if health.fault:
        return Finding(check, "warning", f"{device.port}: {health.firmware}, reports {health.fault}")
    return Finding(check, "ok", f"{device.port}: {health.firmware}")


def groups(spec: RobotSpec) -> Iterator[Finding]:
    """Membership of the group that owns serial ports."""
    if os.geteuid() == 0:
        yield Finding("permission", "warning", "running as root; nothing here needs that")
        return
    mine = {grp.getgrgid(g).gr_name for g in os.getgroups()}
    owners = set()
    for device in spec.devices:
        path = Path(device.port)
        if path.exists() and not os.access(path, os.R_OK | os.W_OK):
            owners.add(grp.getgrgid(path.stat().st_gid).gr_name)
    if owners - mine:
        wanted = ",".join(sorted(owners - mine))
        remedy = f"Run: sudo usermod -aG {wanted} $USER, and log in again."
        yield Finding("permission", "failed", f"not in the group {wanted}", remedy)
    elif "dialout" in mine:
        yield Finding("permission", "ok", "in the group dialout")
    else:
        yield Finding(
            "permission",
            "warning",
            "not in the group dialout, which usually owns serial ports",
            "If a port is refused: sudo usermod -aG dialout $USER, and log in again.",
        )


def realtime() -> Iterator[Finding]:
    """What the guardian would be granted, tried in a process of its own."""
    probe = "from robot.realtime import enter_realtime\nfor line in enter_realtime(80): print(line)"
    command = (*python_command("launch")[:2], "-c", probe)
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0:
        yield Finding("real time", "warning", f"could not be tried: {done.stderr.strip()[-200:]}")
    elif not lines:
        yield Finding("real time", "ok", "SCHED_FIFO and locked memory are permitted")
    for line in lines:
        what, _, remedy = line.partition(". ")
        yield Finding("real time", "warning", what, remedy)
    processors = Path("/sys/devices/system/cpu")
    governors = {path.read_text().strip() for path in processors.glob("cpu*/cpufreq/scaling_governor")}
    if governors & {"powersave", "ondemand", "conservative"}:
        yield Finding(
            "real time",
            "warning",
            f"processor frequency governor: {', '.join(sorted(governors))}",
            "For steady timing: sudo cpupower frequency-set -g performance",
        )


def clocks(sleeps: int = 300) -> Iterator[Finding]:
    """The kernel's clock source, and how late absolute sleeps of 1 ms wake up here, now."""
    source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    name = source.read_text().strip() if source.exists() else "unknown"
    if name in SLOW_CLOCKS:
        yield Finding("clock", "warning", f"clock source {name} is slow to read", "Boot with tsc=reliable.")
    else:
        resolution = time.get_clock_info("monotonic").resolution
        yield Finding("clock", "ok", f"clock source {name}, resolution {resolution:g} s")
    clock, late = MonotonicClock(), np.zeros(sleeps)
    due_ns = clock.now_ns()
    for k in range(sleeps):
        due_ns = max(due_ns + 1_000_000, clock.now_ns())
        clock.sleep_until(due_ns)
        late[k] = (clock.now_ns() - due_ns) / 1e3
    p50, p99 = np.percentile(late, [50, 99])
    status: Status = "ok" if p99 < 2000 else "warning"
    text = f"a 1 ms sleep wakes {p50:.0f} us late (p99 {p99:.0f} us, max {late.max():.0f} us)"
    yield Finding("clock", status, text)


def disk(runs: Path, spec: RobotSpec) -> Iterator[Finding]:
    """Space for the log, and for the mailboxes."""
    existing = next(p for p in (runs.resolve(), *runs.resolve().parents) if p.exists())
    writable = os.access(existing, os.W_OK)
    free = shutil.disk_usage(existing).free
    # The log is compressed and smaller; the twin's spool, policies and checkpoints take the difference.
    needed = tick_dtype(spec).itemsize * spec.rates.guardian_hz * 3600 * LOG_HOURS
    text = f"{free / 1e9:.1f} GB free at {existing}; an hour of {spec.name} is at most {needed / 1e9:.2f} GB"
    if not writable:
        yield Finding("disk", "failed", f"{existing} is not writable", f"Run: sudo chown $USER {existing}")
    elif free < needed:
        yield Finding("disk", "failed", text, "Make room, or name another place with --runs.")
    else:
        yield Finding("disk", "ok" if free > 3 * needed else "warning", text)
    if not SHARED_MEMORY.is_dir():
        yield Finding("disk", "warning", f"no {SHARED_MEMORY}: mailboxes go to the run's folder, a disk")
    elif shutil.disk_usage(SHARED_MEMORY).free < 64e6:
        remedy = f"Remove {SHARED_MEMORY}/sandlot-* folders of sessions that were killed."
        yield Finding("disk", "failed", f"{SHARED_MEMORY} is nearly full", remedy)
