"""What is wrong with a recording: whether it is whole, of one robot, in order, without gaps, on time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
from mcap.exceptions import McapError
from mcap.reader import make_reader
from numpy.typing import NDArray

from launch.data.recording import COPIED_FROM, Recording, files_of
from launch.finding import Finding
from launch.manifest import FILE as MANIFEST
from launch.manifest import load_manifest
from robot.errors import SandlotError
from robot.image_message import CAMERAS, Frame
from robot.log_reader import Log, read_log
from robot.messages import tick_dtype
from robot.plain_data import digest
from robot.recorder import EVENTS, STEPS, TICKS

PAUSE: Final = 3.0
"""Records further apart than this many periods are a pause."""
RATE_SHARE: Final = 0.01
"""Of the nominal period, that the median one may differ: a timer that runs at another rate drifts."""
DRIFT: Final = 1e-3
"""Of a camera's clock against the robot's: more is a clock that is not monotonic time [s/s]. Crystals differ
by 1e-4 at most."""
DRIFT_S: Final = 0.02
"""And at least this much over the recording: less is how late frames arrive [s]."""

Ints = NDArray[np.int64]


def diagnose(path: Path) -> list[Finding]:
    """Everything that was looked at, most fundamental first. Raises SandlotError if there is no log."""
    files, logs, findings = files_of(path), [], []
    for file in files:
        try:
            log = read_log(file)
        except SandlotError as error:
            findings.append(Finding("whole", "failed", str(error), "nothing in it can be saved"))
            continue
        logs.append((file, log))
        findings += _whole(file, log)
    if not logs:
        return findings
    findings += _description(path, logs)
    # Files that were copied from elsewhere have a clock each; those of one session share it.
    for _, group in groupby(logs, lambda pair: pair[1].metadata.get(COPIED_FROM, "")):
        members = tuple(pair[0] for pair in group)
        found = [log for file, log in logs if file in members]
        recording = Recording(path, members, _joined(found))
        findings += [*_order(recording), *_gaps(recording), *_rate(recording), *_cameras(recording.log)]
        findings += _episodes(recording)
    return findings


def _joined(logs: list[Log]) -> Log:
    first = logs[0]
    kinds = {topic: rows.dtype for topic, rows in first.arrays.items()}
    arrays, sequences = {}, {}
    for topic, dtype in kinds.items():
        alike = [log for log in logs if topic in log.arrays and log.arrays[topic].dtype == dtype]
        arrays[topic] = np.concatenate([log.arrays[topic] for log in alike], dtype=dtype)
        sequences[topic] = np.concatenate([log.sequences[topic] for log in alike])
    frames = {c: [f for g in logs for f in g.frames.get(c, [])] for g in logs for c in g.frames}
    events = [event for log in logs for event in log.events]
    return Log(arrays, sequences, events, first.metadata, True, 0, frames=frames)


def _whole(file: Path, log: Log) -> Iterator[Finding]:
    mend = f"sandlot data repair {file} --output repaired.mcap"
    if not log.complete or log.lost_bytes:
        text = f"{file.name} was cut off or damaged: {log.lost_bytes} bytes at its end are no whole record"
        yield Finding("whole", "failed", text, mend)
        return
    yield Finding("whole", "ok", f"{file.name}: {file.stat().st_size} bytes, every checksum right")
    counted = {topic: len(rows) for topic, rows in log.arrays.items()}
    counted |= {f"{CAMERAS}{camera}": len(frames) for camera, frames in log.frames.items()}
    counted[EVENTS] = len(log.events)
    try:
        with file.open("rb") as opened:
            summary = make_reader(opened).get_summary()
    except (McapError, ValueError) as error:
        yield Finding("index", "failed", f"{file.name}: its index cannot be read: {error}", mend)
        return
    if summary is None or summary.statistics is None:
        text = f"{file.name} has no index: it was cut off and closed later"
        yield Finding("index", "warning", text, mend)
        return
    counts = summary.statistics.channel_message_counts
    indexed = {c.topic: counts.get(number, 0) for number, c in summary.channels.items()}
    for topic in sorted(indexed.keys() | counted.keys()):
        if indexed.get(topic, 0) != counted.get(topic, 0):
            text = f"{file.name}: {counted.get(topic, 0)} of {topic}, the index says {indexed.get(topic, 0)}"
            yield Finding("index", "failed", text, mend)


def _description(path: Path, logs: list[tuple[Path, Log]]) -> Iterator[Finding]:
    """Whether what the log says of its robot and task is what its records are of, in every file."""
    remedy = "it was changed after it was recorded, or put together from different robots; keep them apart"
    before: dict[str, str] = {}
    for file, log in logs:
        told = log.metadata
        try:
            recording = Recording(path, (file,), log)
            spec, contract = recording.spec, recording.contract
        except SandlotError as error:
            yield Finding("spec", "failed", f"{file.name}: {error}")
            continue
        wrong = [
            what
            for what, right in (
                ("calibration", told.get("calibration_hash") == spec.calibration_hash()),
                ("contract", told.get("contract_hash") == contract.hash()),
                ("robot of the contract", digest(contract.robot) == digest(spec.contract())),
                ("ticks", TICKS not in log.arrays or log.arrays[TICKS].dtype == tick_dtype(spec)),
                ("steps", STEPS not in log.arrays or log.arrays[STEPS].dtype == contract.step_dtype()),
            )
            if not right
        ]
        hashes = {"robot": spec.name, "contract": contract.hash()}
        wrong += [f"{what} of the file before" for what, h in hashes.items() if before.get(what, h) != h]
        before |= hashes
        manifest = path / MANIFEST
        if manifest.exists() and load_manifest(path).contract_hash != contract.hash():
            wrong.append(f"contract in {MANIFEST}")
        if wrong:
            yield Finding(
                "spec", "failed", f"{file.name}: its spec is not that of its {', '.join(wrong)}", remedy
            )
        else:
            yield Finding("spec", "ok", f"{file.name}: {spec.name}, task {contract.task}")


def _tables(recording: Recording) -> Iterator[tuple[str, Any, float]]:
    """Topic, records and nominal period [s] of what comes at a fixed rate."""
    rates = {TICKS: recording.spec.rates.guardian_hz, STEPS: recording.contract.policy_hz}
    for topic, rate in rates.items():
        if len(rows := recording.log.arrays.get(topic, ())):
            yield topic, rows, 1.0 / rate


def _order(recording: Recording) -> Iterator[Finding]:
    times: dict[str, Ints] = {topic: rows["time_ns"] for topic, rows, _ in _tables(recording)}
    times |= {f"{CAMERAS}{c}": _captured(frames) for c, frames in recording.log.frames.items()}
    for topic, column in times.items():
        back = np.flatnonzero(np.diff(column) < 0)
        if len(back):
            text = (
                f"{topic}: time goes back {len(back)} times, first after record {back[0]} by "
                f"{(column[back[0]] - column[back[0] + 1]) / 1e9:.3f} s"
            )
            yield Finding("order", "failed", text, "its times are not of one monotonic clock")
        else:
            yield Finding("order", "ok", f"{topic}: {len(column)} records in order of their time")


def _gaps(recording: Recording) -> Iterator[Finding]:
    for topic, rows, period in _tables(recording):
        steps: Ints = np.diff(recording.log.sequences[topic]).astype(np.int64)  # 32 bits, wrapping
        missing = int(np.where(steps > 0, steps - 1, 0)[steps < 1 << 31].sum())
        again = int(np.count_nonzero((steps == 0) | (steps >= 1 << 31)))
        if missing or again:
            text = f"{topic}: {missing} records are missing and {again} are out of order, by their numbers"
            yield Finding(
                "gaps", "failed", text, "the courier was away for too long, or records were removed"
            )
        apart = np.diff(rows["time_ns"]) / 1e9
        if topic == STEPS:
            apart = apart[rows["episode"][1:] == rows["episode"][:-1]]
        pauses = apart[apart > PAUSE * period]
        if len(pauses):
            longest = f"longest {pauses.max():.3f} s"
            text = f"{topic}: {len(pauses)} pauses of more than {PAUSE:.0f} periods, {longest}"
            yield Finding("gaps", "warning", text)


def _rate(recording: Recording) -> Iterator[Finding]:
    for topic, rows, period in _tables(recording):
        apart = np.diff(rows["time_ns"]) / 1e9
        if topic == STEPS:
            apart = apart[rows["episode"][1:] == rows["episode"][:-1]]
        if len(apart) < 10:
            continue
        measured = float(np.median(apart))
        text = f"{topic}: {1.0 / measured if measured else np.inf:.2f} a second; {1.0 / period:g} are nominal"
        if abs(measured - period) > RATE_SHARE * period:
            yield Finding("drift", "failed", text, "its clock or its loop ran at another rate")
        else:
            yield Finding("drift", "ok", text)


def _cameras(log: Log) -> Iterator[Finding]:
    for camera, frames in log.frames.items():
        numbers = np.array([frame.number for frame in frames], np.int64)
        steps = np.diff(numbers)
        dropped = int(np.maximum(steps - 1, 0).sum())
        wrong = int(np.count_nonzero(steps <= 0))
        if dropped or wrong:
            share = dropped / (len(frames) + dropped)
            text = (
                f"{camera}: {dropped} frames were dropped ({share:.1%}), {wrong} came twice or out of order"
            )
            yield Finding(
                "frames", "failed", text, "rows beside them have an older picture, not a shifted one"
            )
        else:
            yield Finding("frames", "ok", f"{camera}: {len(frames)} frames, none dropped")
        captured, received = _captured(frames), np.array([f.received_ns for f in frames], np.int64)
        late = (received - captured) / 1e9
        if np.any(late < 0):
            text = f"{camera}: {np.count_nonzero(late < 0)} frames arrived before they were taken"
            yield Finding("drift", "failed", text, "its capture times are of another clock")
        elif len(frames) >= 10 and (seconds := (captured[-1] - captured[0]) / 1e9) > 0:
            slope = float(np.polyfit((captured - captured[0]) / 1e9, late, 1)[0])
            if abs(slope) > DRIFT and abs(slope) * seconds > DRIFT_S:
                text = f"{camera}: its clock drifts by {slope * 1e3:.2f} ms in a second against the robot's"
                yield Finding("drift", "failed", text, "its capture times are of another clock")


def _captured(frames: list[Frame]) -> Ints:
    return np.array([frame.captured_ns for frame in frames], np.int64)


def _episodes(recording: Recording) -> Iterator[Finding]:
    rows, episodes = recording.steps, recording.episodes
    if not episodes:
        yield Finding("episodes", "warning", "no steps: nothing acted, or none of it was recorded")
        return
    numbers = [episode.number for episode in episodes]
    if len(set(numbers)) != len(numbers):
        twice = sorted({n for n in numbers if numbers.count(n) > 1})
        yield Finding("episodes", "failed", f"episodes {twice[:5]} are there twice", "merge renumbers them")
    broken = [e.number for e in episodes if np.any(np.diff(rows["step"][e.rows].astype(np.int64)) != 1)]
    if broken:
        yield Finding(
            "episodes", "failed", f"steps are missing inside episodes {broken[:5]}", "leave them out"
        )
    unfinished = [e.number for e in episodes if not e.complete]
    if unfinished:
        text = f"episodes {unfinished[:5]} have no final observation: they were cut off"
        yield Finding("episodes", "warning", text)
    for name in ("observation", "action", "reward"):
        finite = np.isfinite(rows[name]).reshape(len(rows), -1).all(axis=1)
        bad = np.flatnonzero(~finite)
        if len(bad):
            text = f"{name} is not finite in {len(bad)} rows, first in episode {rows['episode'][bad[0]]}"
            yield Finding("values", "failed", text, "leave those episodes out: sandlot data split")
    if not (broken or len(set(numbers)) != len(numbers)):
        text = f"{len(episodes)} episodes, {sum(e.steps for e in episodes)} steps"
        yield Finding("episodes", "ok", text)
