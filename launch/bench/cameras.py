"""``sandlot bench recording --cameras``: two cameras recorded beside a robot that practises and its learner,
and the same session without them.

Both are whole sessions on the twin in real time, every process as ``sandlot practice`` starts it. The
pictures are synthetic; they are taken, encoded, handed over and written as a real camera's are.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from launch import catalogue
from launch.conduct import conduct
from launch.free_ports import free_ports
from launch.manifest import Setup
from launch.session import Session, create_session
from launch.status_log import read_status
from robot.log_reader import Log, read_log
from robot.messages import SafetyState

CAMERAS: Final = "".join(
    f"""
[[cameras]]
name = "{name}"
driver = "robot.drivers.camera:OpenCvCamera"
emulator = "sim.emulators.camera:SyntheticCamera"
width = 640
height = 480
rate_hz = 30
"""
    for name in ("front", "rear")
)
LOOKED_S: Final = 0.5
"""Between two looks at how long each process has had a processor [s]."""
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class Shares:
    """What share of one processor each process of a session takes, while this context lasts."""

    def __init__(self, session: Session) -> None:
        self._file = session.directory / "processes.jsonl"
        self._seen: dict[str, tuple[float, float, float, float]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Shares:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def of(self, process: str) -> float:
        """NaN for one that was not there."""
        first_s, first, last_s, last = self._seen.get(process, (0.0, 0.0, 0.0, float("nan")))
        return (last - first) / max(last_s - first_s, 1e-9)

    def _look(self) -> None:
        while not self._ended.wait(LOOKED_S):
            for name, number in self._processes().items():
                try:
                    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                used_s, now_s = sum(map(int, fields[11:13])) / TICKS_PER_S, time.monotonic()
                first_s, first, _, _ = self._seen.get(name, (now_s, used_s, 0.0, 0.0))
                self._seen[name] = (first_s, first, now_s, used_s)

    def _processes(self) -> dict[str, int]:
        found = {}
        for line in self._file.read_text().splitlines() if self._file.exists() else ():
            event = json.loads(line)
            if event["text"].startswith("started (process "):
                found[event["kind"]] = int(event["text"].split()[-1].rstrip(")"))
        return found


def run(
    seconds: float, seed: int = 0, progress: Callable[[str], None] = lambda line: None
) -> dict[str, float]:
    """Both sessions, ``seconds`` each after the robot could first move."""
    folder = Path(tempfile.mkdtemp(prefix="sandlot-cameras-"))
    try:
        found: dict[str, float] = {}
        for name, cameras in (("without", ""), ("with", CAMERAS)):
            progress(f"{name} cameras: {seconds:.0f} s")
            session, shares = _practise(folder / name, cameras, seconds, seed)
            log = read_log(session.directory)
            found |= {f"{name}_{key}": value for key, value in _loop(session, log, shares).items()}
            if cameras:
                found |= _frames(session, log) | {
                    "camera_cpu_share": shares.of("camera"),
                    "camera_dropped_by_ring": _dropped(log),
                }
        return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _practise(folder: Path, cameras: str, seconds: float, seed: int) -> tuple[Session, Shares]:
    folder.mkdir()
    robot = folder / "racer.toml"
    robot.write_text(catalogue.find("robots", "racer").read_text() + cameras)
    session = create_session(
        str(robot),
        "oval",
        role="practice",
        runs=folder,
        twin=True,
        seed=seed,
        minutes=seconds / 60.0,
        setup=Setup(address=f"127.0.0.1:{free_ports()}", demonstration_laps=1),
    )
    with Shares(session) as shares:
        ending = conduct(session, "none", with_learner=True)
    if ending.error is not None:
        raise ending.error
    return session, shares


def _loop(session: Session, log: Log, shares: Shares) -> dict[str, float]:
    """How late the guardian was while the robot could move, and what everybody else got done."""
    ticks = log.ticks
    moves = np.isin(ticks["safety_state"], (SafetyState.ACTIVE, SafetyState.REDUCED))
    late_us = (ticks["time_ns"] - ticks["due_ns"])[moves] * 1e-3
    span_s = float(ticks["time_ns"][-1] - ticks["time_ns"][0]) * 1e-9
    size = sum(path.stat().st_size for path in session.directory.glob("log*.mcap"))
    status = read_status(session.directory)
    return {
        **{f"late_p{str(p).replace('.', '')}_us": float(np.percentile(late_us, p)) for p in (50, 99, 99.9)},
        "late_max_us": float(late_us.max()),
        "missed_ticks": float((np.diff(ticks["tick"].astype(np.int64)) - 1).sum()),
        "log_bytes_per_s": size / span_s,
        "courier_cpu_share": shares.of("courier"),
        "guardian_cpu_share": shares.of("guardian"),
        "learner_cpu_share": shares.of("learner"),
        "updates": float(status[-1]["updates"] or 0) if status else float("nan"),
    }


def _frames(session: Session, log: Log) -> dict[str, float]:
    """Of both cameras together: how many came, how many are missing, and how long a picture takes."""
    kept = missing = 0
    took_ms: list[float] = []
    for frames in log.frames.values():
        numbers = np.array([frame.number for frame in frames], np.int64)
        kept, missing = kept + len(numbers), missing + int((np.diff(numbers) - 1).sum())
        took_ms += [(frame.received_ns - frame.captured_ns) * 1e-6 for frame in frames]
    return {
        "frames": float(kept),
        "frames_dropped": float(missing),
        "frame_bytes": float(np.mean([len(f.data) for frames in log.frames.values() for f in frames])),
        "taken_to_encoded_p50_ms": float(np.percentile(took_ms, 50)),
        "taken_to_encoded_p99_ms": float(np.percentile(took_ms, 99)),
    }


def _dropped(log: Log) -> float:
    """Frames that the courier was too late for."""
    last = {e.event.kind: e.event.value for e in log.events if e.event.kind.endswith("_dropped")}
    return sum(value for kind, value in last.items() if kind.startswith("camera_"))
