"""``sandlot replay LOG``: ``--safety``, what the safety kernel says of a recorded session, as it was or with
other limits; ``--twin``, whether the twin does what the robot did (``launch.replay.twin``); ``--on``, what
comes of the same commands (``launch.replay.again``)."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from launch.options.replay import ReplayOptions
from launch.replay.changes import changed, read_recording
from launch.replay.comparison import compare
from launch.replay.summary import figures, show, sure
from robot.errors import SandlotError

DIFFERENT = 3
"""Exit code: the log was read, and its verdicts are not those that were asked about."""


def replay(options: ReplayOptions) -> int:
    """0 if every verdict is the logged one, ``DIFFERENT`` if not."""
    if [options.safety, options.twin, options.on is not None].count(True) != 1:
        raise SandlotError("say what to replay the log through: --safety, --twin, or --on ROBOT")
    if options.on is not None:
        from launch.replay.again import replay_on

        return replay_on(options)
    if options.twin:
        from launch.replay.twin import replay_twin

        return replay_twin(options)
    log, spec = read_recording(Path(options.log))
    asked = options.spec is not None or bool(options.set)
    other, changes = changed(spec, options.spec, options.set) if asked else (None, [])
    errors = Console(stderr=True)
    with Progress(console=errors, transient=True) as bar:
        task = bar.add_task("judging", total=len(log.ticks))
        comparison = compare(spec, log.ticks, other, lambda done, of: bar.update(task, completed=done))
    show(Console(stderr=options.json), comparison, changes if changes or not asked else ["nothing"])
    if options.png is not None:
        from launch.replay.picture import draw

        draw(comparison, options.png)
        errors.print(f"{options.png} written")
    if options.json:
        print(json.dumps(figures(comparison, changes)))
    own = sure(comparison, comparison.logged)
    new = [] if comparison.changed is None else sure(comparison, comparison.changed)
    return DIFFERENT if own or new else 0
