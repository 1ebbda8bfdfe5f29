"""``sandlot data``: what can be done with recordings, a function for each command."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from launch.data.diagnosis import diagnose
from launch.data.episode import chosen
from launch.data.excerpt import new_folder
from launch.data.excerpt import split as split_recording
from launch.data.recording import Recording, actor_names, files_of, open_recording, recordings_below
from launch.data.relabelling import load_reward
from launch.data.relabelling import relabel as relabel_recording
from launch.data.terms import Terms
from launch.data.union import merge as merge_recordings
from launch.finding import table
from launch.options.data import (
    DataDoctorOptions,
    DataExportOptions,
    DataImportOptions,
    DataInfoOptions,
    DataLsOptions,
    DataMergeOptions,
    DataRelabelOptions,
    DataRepairOptions,
    DataSplitOptions,
    DataViewOptions,
)
from robot.errors import SandlotError
from robot.log_reader import numbered
from robot.log_repair import repair as repair_file
from robot.recorder import EVENTS, STEPS, TICKS


def ls(options: DataLsOptions) -> int:
    """A line for each recording."""
    shown = Table(box=None)
    shown.add_column("recording", overflow="fold")
    for name in ("robot", "task", "by", "min", "episodes", "steps", "MB", ""):
        shown.add_column(name, no_wrap=True)
    rows = []
    for path in recordings_below(options.folder):
        try:
            recording = open_recording(path, [TICKS, STEPS, EVENTS])
            row = _figures(recording)
        except SandlotError as error:
            row = {"recording": str(path), "error": str(error)}
            shown.add_row(str(path), *[""] * 7, f"[red]{error}")
        else:
            state = "whole" if row["whole"] else "[yellow]cut off"
            texts = [str(row[k]) for k in ("robot", "task", "by", "minutes", "episodes", "steps")]
            texts[1] = escape(str(row["task_text"] or row["task"]))
            if labels := row["labels"]:
                texts[4] += f" ({labels})"
            shown.add_row(str(path), *texts, f"{recording.bytes / 1e6:.1f}", state)
        rows.append(row)
    if not rows:
        raise SandlotError(f"no recording at {options.folder} or below it; practise first, or name a folder")
    Console(stderr=options.json).print(shown)
    if options.json:
        print(json.dumps({"recordings": rows}))
    return 0


def info(options: DataInfoOptions) -> int:
    """What it holds."""
    recording = open_recording(options.log)
    log, figures = recording.log, _figures(recording)
    counts = {topic: len(rows) for topic, rows in log.arrays.items()}
    counts |= {f"camera {name}": len(frames) for name, frames in log.frames.items()}
    counts["events"] = len(log.events)
    episodes = [
        {
            "episode": e.number,
            "seconds": round(e.seconds, 3),
            "steps": e.steps,
            "reward": round(e.reward, 4),
            "end": "terminated" if e.terminated else "truncated" if e.complete else "cut off",
            "actors": actor_names(e.actors),
            "label": a.label,
            "notes": "; ".join(a.notes),
        }
        for e, a in zip(recording.episodes, recording.about, strict=True)
    ]
    if options.json:
        print(json.dumps({**figures, "records": counts, "episodes": episodes}))
        return 0
    console = Console()
    facts = Table.grid(padding=(0, 2))
    for name, value in (*figures.items(), *counts.items()):
        facts.add_row(f"[grey62]{name}", escape(str(value)))
    console.print(facts)
    if episodes:
        shown = Table(*episodes[0], box=None)
        for episode in episodes:
            shown.add_row(*(escape(str(value)) for value in episode.values()))
        console.print(shown)
    return 0


def doctor(options: DataDoctorOptions) -> int:
    """1 if something is wrong."""
    findings = diagnose(options.log)
    failed = [finding for finding in findings if finding.status == "failed"]
    if options.json:
        print(json.dumps({"healthy": not failed, "findings": [asdict(f) for f in findings]}))
        return 1 if failed else 0
    console = Console()
    console.print(table(findings))
    if failed:
        console.print(f"{len(failed)} of {len(findings)} checks failed", style="red")
    else:
        console.print("this recording is well", style="green")
    return 1 if failed else 0


def repair(options: DataRepairOptions) -> int:
    """Every file of it anew."""
    if options.log.is_dir():
        files = files_of(options.log)
        new_folder(options.output)
        count = sum(repair_file(file, numbered(options.output, k)) for k, file in enumerate(files))
    else:
        count = repair_file(options.log, options.output)
    print(f"{options.output}: {count} messages, every whole one; {options.log} is as it was")
    return 0


def split(options: DataSplitOptions) -> int:
    """Some episodes."""
    recording = open_recording(options.log, [STEPS])
    episodes = chosen(options.episodes, [episode.number for episode in recording.episodes])
    count = split_recording(recording, episodes, options.output)
    print(f"{options.output}: {len(episodes)} of {len(recording.episodes)} episodes, {count} messages")
    return 0


def merge(options: DataMergeOptions) -> int:
    """Several as one."""
    recordings = [open_recording(path, [STEPS]) for path in options.logs]
    count = merge_recordings(recordings, options.output)
    episodes = sum(len(recording.episodes) for recording in recordings)
    print(f"{options.output}: {episodes} episodes of {len(recordings)} recordings, {count} messages")
    return 0


def relabel(options: DataRelabelOptions) -> int:
    """Another reward."""
    recording = open_recording(options.log, [STEPS])
    if options.names:
        print("\n".join(Terms(recording.steps, recording.contract)))
        return 0
    if not options.reward or options.output is None:
        raise SandlotError("say which reward and where to: --reward FILE.py:FUNCTION --output FOLDER")
    reward, digest = load_reward(options.reward)
    before = recording.steps["reward"].mean() if len(recording.steps) else 0.0
    new = relabel_recording(recording, reward, options.output, f"{options.reward} sha256 {digest}")
    print(f"{options.output}: {len(new)} rows, mean reward {before:.4g} before, {new.mean():.4g} now")
    return 0


def export(options: DataExportOptions) -> int:
    """A dataset for others."""
    recording = open_recording(options.log)
    task = options.task
    if not recording.episodes:
        raise SandlotError(f"{options.log} has no steps, so no dataset can be made of it")
    if options.to == "lerobot":
        from launch.data.lerobot_export import export_lerobot

        count = export_lerobot(recording, Path(options.output), task, options.pictures)
    elif options.to == "minari":
        from launch.data.minari_export import export_minari

        count = export_minari(recording, options.output, task)
    elif options.to == "robomimic":
        from launch.data.robomimic_export import export_robomimic

        count = export_robomimic(recording, Path(options.output), task)
    else:
        from launch.data.prior_journal import export_journal

        count = export_journal(recording, Path(options.output))
    print(f"{options.output}: {count} episodes of {len(recording.episodes)}")
    return 0


def import_dataset(options: DataImportOptions) -> int:
    """Somebody's dataset as prior data."""
    from launch.data.prior_journal import write_prior

    like = None if options.like is None else open_recording(options.like, [STEPS]).contract
    if options.source == "lerobot":
        from launch.data.lerobot_import import import_lerobot

        rows, contract = import_lerobot(Path(options.dataset), like)
    else:
        from launch.data.minari_import import import_minari

        rows, contract = import_minari(options.dataset, like)
    write_prior(rows, contract, options.output)
    print(f"{options.output}: {len(rows)} rows; learn from them with --prior {options.output}")
    return 0


def view(options: DataViewOptions) -> int:
    """A viewer, or a picture."""
    if options.png is not None:
        from launch.data.picture import draw

        draw(open_recording(options.log), options.png)
        print(f"{options.png} written")
        return 0
    from launch.data.viewer import open_viewer

    return open_viewer(files_of(options.log), options.viewer)


def _figures(recording: Recording) -> dict[str, object]:
    log = recording.log
    known = recording.about
    by = dict.fromkeys(f"{a.operator} {a.device}".strip() for a in known if a.operator or a.device)
    labels = Counter(a.label for a in known if a.label)
    ends = [(rows["time_ns"][0], rows["time_ns"][-1]) for rows in log.arrays.values() if len(rows)]
    span_ns = max(b for _, b in ends) - min(a for a, _ in ends) if ends else 0
    return {
        "recording": str(recording.path),
        "robot": recording.spec.name,
        "task": recording.contract.task,
        "task_text": "; ".join(dict.fromkeys(a.task for a in known if a.task)),
        "by": ", ".join(by),
        "labels": ", ".join(f"{count} {label}" for label, count in labels.items()),
        "minutes": round(float(span_ns) / 60e9, 2),
        "episodes": len(recording.episodes),
        "steps": sum(episode.steps for episode in recording.episodes),
        "files": len(recording.files),
        "bytes": recording.bytes,
        "whole": log.complete and not log.lost_bytes,
    }
