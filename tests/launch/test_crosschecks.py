"""Whose logs count when the twin is held against the robot: its own, or its stand-in's in a rehearsal."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_recording import write_recording

from launch.crosschecks import TwinAndRobot, logs_of
from launch.episodes import course_setting
from launch.session import create_session
from robot.errors import SandlotError

MADE = {
    "racer": 'twin = false\ncourse_name = "oval"',
    "racer@twin": "twin = true",
    "racer@worn": 'twin = true\n[surrogate]\nname = "worn"',
}
"""What a log's manifest says, by who drove."""


@pytest.mark.parametrize("robot", ["racer", "racer@worn"])
@pytest.mark.parametrize("drove", [*MADE, "nobody knows"])
def test_only_the_robot_s_logs_speak_of_the_twin(tmp_path: Path, robot: str, drove: str) -> None:
    path = tmp_path / "log.mcap"
    write_recording(path, about={"manifest": MADE[drove]} if drove in MADE else {})
    crosschecks = TwinAndRobot(course_setting("racer", "oval"), robot, (path,), tmp_path / "results.csv", "")
    if drove == robot:
        assert "in no stretch of the logs" in crosschecks.validity().detail  # looked into: it never drove
        return
    with pytest.raises(SandlotError, match=rf"drove, which says nothing of {robot}; .*--surrogate"):
        crosschecks.validity()


def test_logs_of_two_robots_are_not_one_robot_s(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.mcap" for number in range(2)]
    for path, drove in zip(paths, ("racer", "racer@twin"), strict=True):
        write_recording(path, about={"manifest": MADE[drove]})
    crosschecks = TwinAndRobot(course_setting("racer", "oval"), "racer", paths, tmp_path / "results.csv", "")
    with pytest.raises(SandlotError, match="logs of racer and racer@twin; give those of one robot"):
        crosschecks.validity()


@pytest.mark.parametrize("twin", [True, False])
def test_a_run_s_own_log_is_taken_if_the_robot_drove(tmp_path: Path, twin: bool) -> None:
    run = create_session("racer", "oval", role="run", runs=tmp_path, twin=twin).directory
    write_recording(run / "log.mcap")
    assert logs_of("racer", run, ()) == (() if twin else (run,))
    other = tmp_path / "log.mcap"
    assert logs_of("racer", run, (other,)) == (other,)
