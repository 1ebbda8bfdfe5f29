"""An overview of a recording in one picture: who drove, what was measured, commanded and earned, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from launch.data.recording import Recording
from robot.messages import Actor, SafetyState
from robot.recorder import TICKS

Floats = NDArray[np.float64]
MOST_POINTS: Final = 4_000
"""More than this many are thinned: a picture has no more columns."""
COLOURS: Final = {
    Actor.POLICY: "#2a7de1",
    Actor.HUMAN: "#e1822a",
    Actor.SCRIPT: "#8a63c9",
    Actor.RECOVERY: "#c9a227",
    Actor.SAFETY: "#c0392b",
}


def draw(recording: Recording, path: Path) -> None:
    """Write it as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    log, ticks = recording.log, recording.log.arrays.get(TICKS)
    starts = [int(rows["time_ns"][0]) for rows in log.arrays.values() if len(rows)]
    start = min(starts) if starts else 0
    figure, axes = pyplot.subplots(5, 1, figsize=(12, 11), sharex=True, height_ratios=(1, 2, 2, 2, 1.2))
    figure.suptitle(f"{recording.path}: {recording.spec.name}, {recording.contract.task}", fontsize=11)
    if ticks is not None and len(ticks):
        thin = ticks[:: max(1, len(ticks) // MOST_POINTS)]
        seconds = _seconds(thin["time_ns"], start)
        _modes(axes[0], seconds, thin)
        _measured(axes[1], seconds, thin, recording)
        _commands(axes[2], seconds, thin, recording)
    _rewards(axes[3], recording, start)
    _intervals(axes[4], recording, start)
    axes[-1].set_xlabel("time [s]")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _seconds(times: NDArray[np.int64], start: int) -> Floats:
    return np.asarray((times - start) / 1e9, np.float64)


def _modes(axis: Any, seconds: Floats, ticks: NDArray[np.void]) -> None:
    axis.step(seconds, ticks["safety_state"], where="post", color="black", linewidth=1)
    shown = sorted(set(ticks["safety_state"].tolist()))
    axis.set_yticks(shown, [SafetyState(s).name for s in shown], fontsize=8)
    for actor, colour in COLOURS.items():
        axis.fill_between(
            seconds,
            0,
            1,
            ticks["actor"] == actor,
            transform=axis.get_xaxis_transform(),
            color=colour,
            alpha=0.3,
            linewidth=0,
            label=actor.name.lower() if np.any(ticks["actor"] == actor) else None,
        )
    if axis.get_legend_handles_labels()[0]:
        _legend(axis)
    axis.set_title("safety state, and who drove", fontsize=9, loc="left")


def _measured(axis: Any, seconds: Floats, ticks: NDArray[np.void], recording: Recording) -> None:
    layout = recording.spec.state_layout
    name = recording.spec.stop.standstill
    axis.plot(seconds, ticks["state"][:, layout.index(name)], linewidth=0.8, color="#2a7de1", label=name)
    _legend(axis)
    axis.set_title("the state's element that tells standing still", fontsize=9, loc="left")


def _commands(axis: Any, seconds: Floats, ticks: NDArray[np.void], recording: Recording) -> None:
    for k, name in enumerate(recording.spec.actuator_layout.names):
        (line,) = axis.plot(seconds, ticks["sent"][:, k], linewidth=0.9, label=f"{name} sent")
        requested = ticks["requested"][:, k]
        axis.plot(seconds, requested, linewidth=0.6, linestyle=":", color=line.get_color(), label="requested")
    _legend(axis)
    axis.set_title("setpoints, in each actuator's unit", fontsize=9, loc="left")


def _rewards(axis: Any, recording: Recording, start: int) -> None:
    for episode in recording.episodes:
        rows = recording.steps[episode.rows]
        axis.plot(_seconds(rows["time_ns"], start), np.cumsum(rows["reward"]), linewidth=0.9)
        if episode.terminated:
            axis.plot(_seconds(rows["time_ns"][-1:], start), rows["reward"].sum(), "x", color="#c0392b")
    axis.set_title(
        f"reward so far, in {len(recording.episodes)} episodes; x: terminated", fontsize=9, loc="left"
    )


def _intervals(axis: Any, recording: Recording, start: int) -> None:
    for topic, rows in recording.log.arrays.items():
        if len(rows) > 1:
            apart = np.diff(rows["time_ns"]) / 1e6
            axis.plot(_seconds(rows["time_ns"][1:], start), apart, ".", markersize=2, label=topic)
    for camera, frames in recording.log.frames.items():
        times = np.array([frame.captured_ns for frame in frames], np.int64)
        axis.plot(_seconds(times[1:], start), np.diff(times) / 1e6, ".", markersize=2, label=camera)
    axis.set_yscale("log")
    if axis.get_legend_handles_labels()[0]:
        _legend(axis)
    axis.set_title("time between records [ms]", fontsize=9, loc="left")


def _legend(axis: Any) -> None:
    """Above the axis, where it covers nothing."""
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=8, ncols=5, frameon=False)
