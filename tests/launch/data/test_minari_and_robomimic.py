"""A recording as a Minari dataset, by Minari's own loader, and back; and as robomimic's HDF5."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_recording import rows_of, write_recording
from small_session import CONTRACT

from launch.data.recording import Recording, open_recording
from robot.errors import SandlotError


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Three episodes; the last one was cut off."""
    write_recording(tmp_path / "log.mcap", rows_of(0, 140))
    return open_recording(tmp_path / "log.mcap")


def test_minari_loads_what_was_recorded_and_gives_it_back(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minari = pytest.importorskip("minari", reason="needs the extra 'data'")
    from launch.data.minari_export import export_minari
    from launch.data.minari_import import import_minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    assert export_minari(recording, "racer/laps-v0", "lap the course") == 3
    dataset = minari.load_dataset("racer/laps-v0")
    episodes = list(dataset.iterate_episodes())
    for episode, ours in zip(episodes, recording.episodes, strict=True):
        rows = recording.steps[ours.rows]
        count = len(rows) - 1
        np.testing.assert_array_equal(episode.observations, rows["observation"])
        np.testing.assert_array_equal(episode.actions, rows["action"][:count])
        np.testing.assert_array_equal(np.asarray(episode.rewards, np.float32), rows["reward"][:count])
        np.testing.assert_array_equal(episode.terminations, rows["terminated"][:count])
        np.testing.assert_array_equal(episode.truncations, rows["truncated"][:count])
        np.testing.assert_array_equal(np.ravel(episode.infos["time_ns"]), rows["time_ns"])
        assert episode.infos["sent"].shape == (count + 1, 2)
    rows, contract = import_minari("racer/laps-v0", None)
    assert contract.hash() == CONTRACT.hash()
    for name in rows.dtype.names or ():
        np.testing.assert_array_equal(rows[name], recording.steps[name], err_msg=name)
    with pytest.raises(SandlotError, match="racer/laps-v0"):
        export_minari(recording, "racer/laps-v0", "again")
    with pytest.raises(SandlotError, match="Minari has no"):
        import_minari("nothing/here-v0", None)


def test_robomimic_has_every_step_and_what_came_of_it(recording: Recording, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs the extra 'data'")
    from launch.data.robomimic_export import export_robomimic

    path = tmp_path / "demos.hdf5"
    assert export_robomimic(recording, path) == 3
    with h5py.File(path) as file:
        data = file["data"]
        assert data.attrs["total"] == 49 + 49 + 39 == sum(data[d].attrs["num_samples"] for d in data)
        assert json.loads(data.attrs["env_args"])["env_name"] == "small"
        for k, ours in enumerate(recording.episodes):
            rows, demo = recording.steps[ours.rows], data[f"demo_{k}"]
            np.testing.assert_array_equal(demo["actions"], rows["action"][:-1])
            np.testing.assert_array_equal(demo["rewards"], rows["reward"][:-1])
            np.testing.assert_array_equal(demo["dones"], (rows["truncated"] | rows["terminated"])[:-1])
            np.testing.assert_array_equal(demo["obs/velocity"], rows["observation"][:-1, :2])
            np.testing.assert_array_equal(demo["next_obs/velocity"], rows["observation"][1:, :2])
            np.testing.assert_array_equal(demo["next_obs/previous_action"], rows["observation"][1:, 2:])
            np.testing.assert_array_equal(demo["recorded/time_ns"], rows["time_ns"][:-1])
    with pytest.raises(SandlotError, match="exists"):
        export_robomimic(recording, path)
