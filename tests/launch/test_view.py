"""The terminal view says what there is to know, at any size and before anything is known."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from launch.catalogue import find
from launch.map import BrailleMap
from launch.margins import Margin, Margins
from launch.snapshot import Snapshot
from launch.view import Header, LiveView, NoView, PlainView, make_view, sparkline
from robot.messages import Actor, Cause, PilotPhase, SafetyState
from robot.spec import load_spec

HEADER = Header("racer on oval", "twin, seed 0", "runs/racer/x", minutes=20.0)
ANGLE = np.linspace(0, 2 * np.pi, 200)
LINE = np.column_stack((4 * np.cos(ANGLE), 2 * np.sin(ANGLE)))
DRIVING = Snapshot(
    safety=SafetyState.REDUCED,
    cause=Cause.SENSOR_STALE,
    phase=PilotPhase.PRACTISING,
    actor=Actor.POLICY,
    position=(4.0, 0.0),
    speed=2.345,
    laps=3,
    lap_s=6.5,
    best_lap_s=6.1,
    failures=4,
    spooled=900,
    received=899,
    connected=True,
    held_out_error=0.123,
    values=(-1.5, 20.0),
    value_bounds=(-10.0, 30.0),
    policy_version=7,
    policy_age_s=2.0,
    margins=(
        Margin("blind one", "m", float("nan"), float("nan")),
        Margin("battery low", "V", 0.4, 0.04),
        *(Margin(f"limit {k}", "A", 1.0 + k, k / 20) for k in range(2, 20)),
    ),
)


def console(width: int, height: int) -> Console:
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)


@pytest.mark.parametrize(("width", "height"), [(100, 33), (120, 40), (80, 24), (200, 60)])
def test_everything_is_on_the_screen_and_fits(width: int, height: int) -> None:
    made = console(width, height)
    view = LiveView(made, HEADER, BrailleMap(LINE))
    for second in range(5):
        view.say(float(second), "failure: crash")
    drawing = view.draw(65.0, DRIVING, {"learner": 2})
    view.close()
    plain = Console(width=width, height=height, color_system=None, file=io.StringIO(), record=True)
    plain.print(drawing)
    text = plain.export_text()
    assert len(text.splitlines()) <= height
    for said in (
        "REDUCED",
        "sensor stale",
        "policy",
        "2.35 m/s",
        "6.50 s",
        "lost 0",
        "held-out error 0.12",
        "-1.5 to 20   possible -10 to 30",
        "version 7",
        "18:55 left",
    ):
        assert said in text, said
    assert "crash" in text and "learner 2" in text
    shown = [margin.name in text for margin in DRIVING.margins]
    assert shown == sorted(shown, reverse=True)  # the nearest ones
    assert sum(shown) >= (0 if height < 33 else 3) and (all(shown) or height < 60)


def test_nothing_known_yet_is_drawn_too() -> None:
    view = LiveView(console(120, 40), HEADER, BrailleMap(LINE))
    view.show(0.0, Snapshot(), {})
    view.close()


def test_plain_lines_come_at_their_interval() -> None:
    made = console(120, 40)
    view = PlainView(made, HEADER, every_s=10.0)
    for second in range(31):
        view.show(float(second), DRIVING, {})
    assert isinstance(made.file, io.StringIO)
    assert made.file.getvalue().count("laps 3") == 4


def test_the_kind_of_view_follows_the_terminal() -> None:
    assert isinstance(make_view("auto", Console(file=io.StringIO()), HEADER, None), PlainView)
    assert isinstance(make_view("none", console(80, 24), HEADER, None), NoView)


def test_the_map_shows_the_robot_where_it_is() -> None:
    made = BrailleMap(LINE, columns=40, rows=10)
    right = made.draw((4.0, 0.0)).plain.split("\n")
    row = next(line for line in right if "●" in line)
    assert row.index("●") > 30
    assert "●" not in BrailleMap(LINE).draw(None).plain
    assert "●" not in BrailleMap(LINE).draw((float("nan"), 0.0)).plain


def test_the_lowest_bar_is_the_fastest_lap() -> None:
    assert sparkline([9.0, 8.0, 7.0]) == "█▄▁"


def test_margins_are_shares_of_the_way_to_the_limit_nearest_first() -> None:
    spec = load_spec(find("robots", "racer"))
    limits = spec.safety.limits
    values = np.array([limit.upper if limit.lower is None else -limit.lower for limit in limits])
    values[3] = np.nan
    found = Margins(spec).nearest_first(np.abs(values))
    assert found[0].name == limits[3].name
    assert len(found) == len(limits)
    one_sided = {m.lower is None or m.upper is None: m.name for m in limits}[True]
    assert next(m for m in found if m.name == one_sided).share == pytest.approx(1.0)


SO_FAR = "erpm_per_speed 4614 ± 12; error of the distance [mm] 3.1 (rms of 4)"


@pytest.mark.parametrize(("width", "height"), [(100, 33), (80, 24)])
def test_who_calibrates_sees_what_is_known_and_nothing_of_practice(width: int, height: int) -> None:
    made = Console(width=width, height=height, color_system=None, file=io.StringIO(), record=True)
    view = LiveView(made, replace(HEADER, calibrates=True), BrailleMap(LINE))
    view.found(SO_FAR)
    view.close()
    made.print(view.draw(5.0, DRIVING, {}))
    text = made.export_text()
    assert len(text.splitlines()) <= height and "REDUCED" in text
    assert "4614 ± 12" in text and "rms of 4" in text
    assert "laps" not in text and "updates" not in text


def test_in_lines_it_is_told_once() -> None:
    made = console(200, 40)
    view = PlainView(made, replace(HEADER, calibrates=True))
    for second in range(30):
        view.found(SO_FAR)
        view.show(float(second), DRIVING, {})
    assert made.file.getvalue().count(SO_FAR) == 1  # type: ignore[attr-defined]
