"""The terminal view of a running session: live where there is a terminal, plain lines where there is none."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from launch.map import BrailleMap
from launch.margins import Margin
from launch.snapshot import Snapshot
from robot.messages import Cause, PilotPhase, SafetyState

DASH = "\N{EN DASH}"
GOOD, WATCH, BAD, QUIET = "bold green", "bold yellow", "bold red", "grey62"

FULL_ROWS, FULL_COLUMNS = 33, 100
"""The smallest terminal that everything fits on."""
NEAREST = 3
"""So many limits are shown on it; a taller terminal shows more of them."""

_SAFETY_STYLE = {
    SafetyState.ACTIVE: GOOD,
    SafetyState.REDUCED: WATCH,
    SafetyState.HOLD: WATCH,
    SafetyState.STOP1: BAD,
    SafetyState.STOP0: BAD,
    SafetyState.FAULT: BAD,
    SafetyState.ESTOP: BAD,
}
_PHASE_TEXT = {
    PilotPhase.WAITING: ("waiting for a policy, or to be armed", WATCH),
    PilotPhase.DEMONSTRATING: ("demonstration", "bold cyan"),
    PilotPhase.PRACTISING: ("practising", GOOD),
    PilotPhase.SETTLING: ("settling after a failure", WATCH),
    PilotPhase.RECOVERING: ("recovering", WATCH),
    PilotPhase.CALLING: ("calling for a person", BAD),
    PilotPhase.TELEOPERATED: ("teleoperated", "bold cyan"),
    PilotPhase.FINISHED: ("finished", QUIET),
}


@dataclass(frozen=True)
class Header:
    """What does not change: ``title`` such as "racer on oval", ``detail`` such as "twin, seed 0", where the
    run's folder is, and the ``limits`` of all of it, if they are not the robot's own. ``calibrates``: nobody
    practises, and what is known so far takes the place of that."""

    title: str
    detail: str
    folder: str
    speed_unit: str = "m/s"
    minutes: float = 0.0
    limits: str = ""
    calibrates: bool = False


class View(Protocol):
    def show(self, elapsed_s: float, now: Snapshot, restarts: dict[str, int]) -> None: ...

    def say(self, time_s: float, text: str) -> None:
        """A line of what happened."""

    def found(self, text: str) -> None:
        """What a calibration knows so far."""

    def draft(self, text: str | None) -> None:
        """A note that a person types, as far as they have got; None: they are done."""

    def close(self) -> None: ...


class NoView:
    """Shows nothing."""

    def show(self, elapsed_s: float, now: Snapshot, restarts: dict[str, int]) -> None:
        return

    def say(self, time_s: float, text: str) -> None:
        return

    def found(self, text: str) -> None:
        return

    def draft(self, text: str | None) -> None:
        return

    def close(self) -> None:
        return


class PlainView:
    """One line every ``every_s``, and one per event."""

    def __init__(self, console: Console, header: Header, every_s: float = 10.0) -> None:
        self._console = console
        self._header = header
        self._every_s = every_s
        self._next_s = 0.0
        self._found = self._told = ""
        self._print(f"{header.title} ({header.detail}) -> {header.folder}")

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def show(self, elapsed_s: float, now: Snapshot, restarts: dict[str, int]) -> None:
        if elapsed_s < self._next_s:
            return
        self._next_s = (elapsed_s // self._every_s + 1) * self._every_s
        robot = (
            f"{clock(elapsed_s)} {' '.join((now.safety.name.lower(), self._header.limits)).strip()} "
            f"{now.phase.name.lower()} {number(now.speed, '.1f')} {self._header.speed_unit}"
        )
        if self._header.calibrates:
            self._print(robot)
            if self._found != self._told:
                self._told = self._found
                self._print(f"{clock(elapsed_s)} so far: {self._told}")
            return
        self._print(
            f"{robot} | "
            f"laps {now.laps}, last {seconds(now.lap_s)}, best {seconds(now.best_lap_s)} | "
            f"failures {now.failures}, recoveries {now.recoveries} | "
            f"loop {number(now.rate_hz, '.1f')} Hz, late p99 {number(now.lateness_p99_us, '.0f')} us | "
            f"streamed {now.received}, lost {now.lost} | policy {now.policy_version}, "
            f"{number(now.updates_per_s, '.0f')} updates/s, ratio {number(now.update_ratio, '.2f')}, "
            f"{critics(now)}{', ' if now.policies_held else ''}{held(now)}"
        )

    def say(self, time_s: float, text: str) -> None:
        self._print(f"{clock(time_s)} {text}")

    def found(self, text: str) -> None:
        self._found = text

    def draft(self, text: str | None) -> None:
        """Lines cannot show one that changes; a note is printed when it is finished."""

    def close(self) -> None:
        return


class LiveView:
    """The whole session on one screen."""

    def __init__(self, console: Console, header: Header, course: BrailleMap | None) -> None:
        self._header = header
        self._course = course
        self._events: deque[tuple[float, str]] = deque(maxlen=5)
        self._laps: deque[float] = deque(maxlen=48)
        self._last_laps = 0
        self._draft: str | None = None
        self._found = ""
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._live.start()

    def show(self, elapsed_s: float, now: Snapshot, restarts: dict[str, int]) -> None:
        if now.laps != self._last_laps:
            self._last_laps = now.laps
            if math.isfinite(now.lap_s):
                self._laps.append(now.lap_s)
        self._live.update(self.draw(elapsed_s, now, restarts), refresh=True)

    def say(self, time_s: float, text: str) -> None:
        self._events.append((time_s, text))

    def found(self, text: str) -> None:
        self._found = text

    def draft(self, text: str | None) -> None:
        self._draft = text

    def close(self) -> None:
        self._live.stop()

    def draw(self, elapsed_s: float, now: Snapshot, restarts: dict[str, int]) -> RenderableType:
        """The screen as a renderable; on a small terminal without frames and without the map."""
        if self._console.height < FULL_ROWS or self._console.width < FULL_COLUMNS:
            body: tuple[RenderableType, ...] = (self._practice(now), self._loop(now), self._learning(now))
            if self._header.calibrates:
                body = (self._loop(now), self._calibration(now))
            return Group(self._top(elapsed_s), self._robot(now), *body, self._history(restarts, 1))
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(ratio=1)
        grid.add_column(ratio=1)
        left: list[RenderableType] = [self._panel("robot", self._robot(now))]
        right: list[RenderableType] = [self._panel("loop", self._loop(now))]
        if self._header.calibrates:
            right.append(self._panel("what is known so far", self._calibration(now)))
        else:
            left.append(self._panel("practice", self._practice(now)))
            right.append(self._panel("learning", self._learning(now)))
        if self._course is not None:
            left.append(self._panel("course", self._course.draw(now.position)))
        right.append(self._panel("what happened", self._history(restarts)))
        spare = max(0, self._console.height - FULL_ROWS)
        right.append(self._panel("nearest limits", margins(now.margins, NEAREST + spare)))
        grid.add_row(Group(*left), Group(*right))
        return Group(self._top(elapsed_s), grid)

    def _panel(self, title: str, body: RenderableType) -> Panel:
        return Panel(body, title=f"[bold]{title}", title_align="left", border_style="grey37", padding=(0, 1))

    def _top(self, elapsed_s: float) -> RenderableType:
        total_s = self._header.minutes * 60.0
        line = Table.grid(expand=True, padding=(0, 1))
        line.add_column()
        line.add_column(ratio=1)
        line.add_column(justify="right")
        title = Text.assemble((self._header.title, "bold"), (f"  {self._header.detail}", QUIET))
        left = (
            f"{clock(max(0.0, total_s - elapsed_s))} left of {clock(total_s)}"
            if total_s
            else clock(elapsed_s)
        )
        bar: RenderableType = ProgressBar(total_s, min(elapsed_s, total_s)) if total_s else Text()
        line.add_row(title, bar, left)
        below = Text(self._header.folder, QUIET, no_wrap=True)
        if self._draft is not None:
            below = Text(f"note (Enter keeps it): {self._draft}▏", WATCH, no_wrap=True)
        return Panel(Group(line, below), border_style="grey37", padding=(0, 1))

    def _robot(self, now: Snapshot) -> Table:
        state = Text(now.safety.name, _SAFETY_STYLE.get(now.safety, QUIET))
        if now.cause != Cause.NONE:
            state.append(f"  {now.cause.name.lower().replace('_', ' ')}", WATCH)
        if self._header.limits:
            state.append(f"  {self._header.limits}", WATCH)
        phase, style = _PHASE_TEXT[now.phase]
        return facts(
            ("safety", state),
            ("driving", Text.assemble((now.actor.name.lower(), "bold"), "  ", (phase, style))),
            ("speed", Text(f"{number(now.speed, '.2f')} {self._header.speed_unit}", "bold")),
            ("estimate", Text("converged", GOOD) if now.converged else Text("not yet reliable", WATCH)),
        )

    def _practice(self, now: Snapshot) -> RenderableType:
        return facts(
            (
                "laps",
                Text.assemble(
                    (str(now.laps), "bold"), f"   last {seconds(now.lap_s)}   best {seconds(now.best_lap_s)}"
                ),
            ),
            ("lap times", Text(sparkline(list(self._laps)), "bright_blue")),
            (
                "failures",
                Text.assemble(
                    (str(now.failures), "bold"),
                    f"   recoveries {now.recoveries}   helped by a person {now.assists}",
                ),
            ),
        )

    def _loop(self, now: Snapshot) -> Table:
        late = f"p50 {micro(now.lateness_p50_us)}, p99 {micro(now.lateness_p99_us)}"
        return facts(
            ("guardian", Text(f"{number(now.rate_hz, '.1f')} Hz   late {late}")),
            (
                "missed",
                Text(f"{now.overruns} ticks   {now.late_steps} policy steps", WATCH if now.overruns else ""),
            ),
            ("latest", Text(f"{micro(now.lateness_max_us)} in the last two seconds")),
            ("changed", Text(f"{now.altered_ticks} ticks in which safety altered a command")),
        )

    def _learning(self, now: Snapshot) -> Table:
        link = Text("connected", GOOD) if now.connected else Text("no learner; spooling to disk", WATCH)
        lost = Text(f"lost {now.lost}", BAD if now.lost else GOOD)
        age = f", {number(now.policy_age_s, '.0f')} s old" if math.isfinite(now.policy_age_s) else ""
        ratio = number(now.update_ratio, ".2f")
        rows: list[tuple[str, Text]] = [
            ("link", link),
            ("streamed", Text.assemble(f"{now.received} of {now.spooled} transitions   ", lost)),
            ("updates", Text(f"{number(now.updates_per_s, '.0f')}/s   {now.updates} in all, {ratio} a step")),
            ("critics", critics(now)),
            ("values", Text(values(now))),
            ("policy", policy(now, age)),
        ]
        return facts(*rows, *storage(now))

    def _calibration(self, now: Snapshot) -> Table:
        return facts(("so far", Text(self._found or "values are computed once it has driven")), *storage(now))

    def _history(self, restarts: dict[str, int], most: int = 5) -> RenderableType:
        text = Text()
        for time_s, line in list(self._events)[-most:]:
            text.append(f"{clock(time_s)} ", QUIET)
            text.append(f"{line}\n")
        again = ", ".join(f"{name} {count}" for name, count in restarts.items() if count)
        text.append(
            f"restarted: {again}" if again else "no process has been restarted", WATCH if again else QUIET
        )
        return text


def storage(now: Snapshot) -> list[tuple[str, Text]]:
    """How large the log is, and whether there is room for more."""
    rows = [("log", Text(f"{now.log_bytes / 1e6:.1f} MB"))]
    if now.disk_full:
        rows.append(("disk", Text("FULL: the log has stopped", BAD)))
    elif now.disk_low:
        rows.append(("disk", Text("full in less than ten minutes; free some space", WATCH)))
    return rows


def critics(now: Snapshot) -> Text:
    """How well they know episodes they were not trained on, and whether to worry."""
    error = f"held-out error {number(now.held_out_error, '.2g')}"
    if now.critic_alarm:
        return Text(f"{error}   ALARM: look at the learner's output", BAD)
    return Text(error)


def values(now: Snapshot) -> str:
    """What the critics say of the newest minibatch, and what no return can lie outside of."""
    least, greatest, lower, upper = (number(v, ".3g") for v in (*now.values, *now.value_bounds))
    return f"{least} to {greatest}   possible {lower} to {upper}"


def policy(now: Snapshot, age: str) -> Text:
    """Which one drives, and how many the smoke gate has held back."""
    text = Text(f"version {now.policy_version}{age}" if now.policy_version else "none yet", "bold")
    if now.policies_held:
        text.append(f"   {held(now)}", BAD if now.held_back else WATCH)
    return text


def held(now: Snapshot) -> str:
    """What the smoke gate has done; empty if nothing."""
    if not now.policies_held:
        return ""
    return f"{now.policies_held} held back" + (", the newest too" if now.held_back else "")


def facts(*rows: tuple[str, RenderableType]) -> Table:
    """Labels in grey, values beside them."""
    table = Table.grid(padding=(0, 1))
    table.add_column(style=QUIET, min_width=9)
    table.add_column()
    for label, value in rows:
        table.add_row(label, value)
    return table


def margins(nearest: tuple[Margin, ...], most: int) -> Table:
    """Limits with what is left to each of them, nearest first."""
    table = Table.grid(padding=(0, 1))
    table.add_column(style=QUIET, min_width=24)
    table.add_column(justify="right", min_width=10)
    table.add_column()
    for margin in nearest[:most]:
        share = margin.share if math.isfinite(margin.share) else 0.0
        style = BAD if share <= 0.0 else WATCH if share < 0.1 else GOOD
        left = f"{number(margin.value, '.3g')} {margin.unit}"
        table.add_row(margin.name, left, Text(bar(share, 12), style))
    return table


def bar(share: float, cells: int) -> str:
    """A horizontal bar of eighths, full at 1."""
    eighths = round(min(1.0, max(0.0, share)) * cells * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def clock(seconds_: float) -> str:
    """125.0 -> "02:05"."""
    whole = int(max(0.0, seconds_))
    return f"{whole // 60:02d}:{whole % 60:02d}"


def number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else DASH


def seconds(value: float) -> str:
    return f"{value:.2f} s" if math.isfinite(value) else DASH


def micro(value: float) -> str:
    """Microseconds in the unit that reads best."""
    if not math.isfinite(value):
        return DASH
    return f"{value / 1e3:.1f} ms" if value >= 1e3 else f"{value:.0f} us"


def sparkline(values: list[float]) -> str:
    """A bar of eighths per value, the smallest value lowest."""
    if not values:
        return DASH
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join("▁▂▃▄▅▆▇█"[min(7, int((v - low) / span * 7.999))] for v in values)


def make_view(kind: str, console: Console, header: Header, course: BrailleMap | None) -> View:
    """``kind``: auto, live, plain or none."""
    if kind == "none":
        return NoView()
    if kind == "live" or (kind == "auto" and console.is_terminal):
        return LiveView(console, header, course)
    return PlainView(console, header)
