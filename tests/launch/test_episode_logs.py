"""Episodes kept as logs: the guardian on the tape judges them as the fleet's did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from line_follower import line_follower

from launch.clip import FRAMES, HEIGHT, WIDTH, episode_strip
from launch.episode_logs import save_worst
from launch.episodes import course_setting
from launch.replay.changes import description
from launch.replay.comparison import compare
from launch.replay.summary import sure
from robot.log_reader import read_log
from sim.fleet_pilots import PolicyFile, PolicyPilots
from sim.randomisation import draw, nominal
from sim.rollout import rollout


@pytest.mark.slow
def test_a_kept_episode_is_a_log_that_replays_without_a_difference(tmp_path: Path) -> None:
    setting = replace(course_setting("racer", "oval", seconds=8.0), endless=True)
    path = tmp_path / "policy.onnx"
    path.write_bytes(line_follower(setting.contract, 3.0, setting.spec.calibration_hash()))
    pilots = PolicyPilots(PolicyFile(path, setting.contract), setting.contract)
    draws = draw(nominal(setting.spec), 2, seed=0).having({"observation_repeated": np.array([0.0, 0.3])})
    kept = rollout(setting, pilots, draws, record=(0, 1))
    logs = save_worst(kept, setting, tmp_path)
    assert [log.name for log in logs] == ["episode-0.mcap", "episode-1.mcap"]
    for file, tape in zip(logs, kept.trajectories, strict=True):
        log = read_log(file)
        assert all(
            (log.ticks[name] == tape.ticks[name]).all() for name in ("tick", "state", "sent", "command")
        )
        assert log.events[-1].event.text == "not done in time after 8.0 s"
        judged = compare(description(log.metadata, file), log.ticks)
        assert len(log.ticks) == 801 and not judged.unsure[-200:].any()
        assert sure(judged, judged.logged) == []
    pictures, times = episode_strip(kept.trajectories[0], setting)
    assert len(pictures) == len(times) == FRAMES and times[-1] == pytest.approx(8.0)
    assert {image.shape for image in pictures} == {(HEIGHT, WIDTH, 3)}
    assert (pictures[0] != pictures[-1]).any()
