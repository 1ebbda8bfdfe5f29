"""A drive and its repetition: from above, and signal over signal."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from launch.figures import INK, ORANGE, SOFT, STYLE, png
from launch.replay.repetition import Repetition, Signal
from robot.spec import RobotSpec

SHOWN = 6
"""Signals beside the path."""


def draw(spec: RobotSpec, found: Repetition) -> bytes:
    """A PNG."""
    names = spec.state_layout.names
    x, y = (found.signal(name) for name in names[spec.state_layout["position_world"]][:2])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12.0, 6.4), layout="constrained")
        grid = figure.add_gridspec(SHOWN // 2, 3, width_ratios=(1.25, 1.0, 1.0))
        axis = figure.add_subplot(grid[:, 0])
        axis.plot(x.first, y.first, color=INK, linewidth=3.0, alpha=0.35, label="recorded")
        axis.plot(x.again, y.again, color=ORANGE, linewidth=1.4, label="repeated")
        axis.plot(x.first[:1], y.first[:1], "o", color=INK, markersize=5)
        away = np.hypot(x.difference, y.difference)
        axis.set(xlabel="x [m]", ylabel="y [m]", aspect="equal")
        axis.set_title(f"the same commands: {np.nanmax(away):.2f} m apart at most")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=2)
        for k, signal in enumerate(_shown(spec, found)):
            axis = figure.add_subplot(grid[k % (SHOWN // 2), 1 + k // (SHOWN // 2)])
            axis.plot(found.time_s, signal.first, color=INK, linewidth=2.2, alpha=0.35)
            axis.plot(found.time_s, signal.again, color=ORANGE, linewidth=1.1)
            axis.set_title(signal.name)
            axis.set_ylabel(f"[{signal.unit}]")
            text = f"rms {signal.rms:.2g}, at most {signal.most:.2g}"
            axis.annotate(text, (1.0, 1.02), xycoords="axes fraction", ha="right", color=SOFT)
            if k % (SHOWN // 2) == SHOWN // 2 - 1:
                axis.set_xlabel("time since the first command [s]")
        return png(figure)


def _shown(spec: RobotSpec, found: Repetition) -> list[Signal]:
    """The commands that were sent, and of the state what comes after the place."""
    sent = [signal for signal in found.signals if signal.name.startswith("sent.")]
    place = spec.state_layout.names[spec.state_layout["position_world"]]
    state = [found.signal(name) for name in spec.state_layout.names if name not in place]
    return [*sent, *state][:SHOWN]
