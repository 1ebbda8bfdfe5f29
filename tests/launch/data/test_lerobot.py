"""A recording as a LeRobotDataset and back; and, where lerobot is installed, as its own loader gives it.

lerobot 0.4 wants another torch than ours, so that one is run in an environment of its own (docs/DATA.md).
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from small_recording import HEIGHT, WIDTH, picture, rows_of, write_recording
from small_session import CONTRACT

from launch.data.recording import Recording, open_recording
from robot.errors import SandlotError

pytest.importorskip("pyarrow", reason="needs the extra 'data'")

from launch.data.lerobot_export import column_array, export_lerobot
from launch.data.lerobot_import import import_lerobot

PICTURE_ERROR = 6.0
"""Mean absolute difference of our H.264 pictures [of 255]; 4 are from these colours at half resolution. The
picture before or after one differs by 15 and more."""


def recorded(path: Path, camera: bool = False) -> Recording:
    """Three episodes, the last one cut off, whose steps come anything but regularly."""
    rows = rows_of(0, 140)
    rows["time_ns"] += np.random.default_rng(0).integers(0, 20_000_000, len(rows))
    rows["terminated"][98] = True
    rows["truncated"][98] = False
    write_recording(path, rows, camera)
    return open_recording(path)


def test_what_was_exported_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    recording = recorded(tmp_path / "log.mcap")
    assert export_lerobot(recording, tmp_path / "set", "lap the course", "video") == 3
    rows, contract = import_lerobot(tmp_path / "set", None)
    assert contract.hash() == CONTRACT.hash()
    assert rows.dtype == CONTRACT.step_dtype()
    for name in rows.dtype.names or ():
        np.testing.assert_array_equal(rows[name], recording.steps[name], err_msg=name)
    info = json.loads((tmp_path / "set" / "meta" / "info.json").read_text())
    assert (info["total_frames"], info["total_episodes"], info["fps"]) == (138, 3, 20)
    with pytest.raises(SandlotError, match="exists"):
        export_lerobot(recording, tmp_path / "set", "lap the course", "video")
    (tmp_path / "set" / "meta" / "info.json").write_text(json.dumps(info | {"codebase_version": "v2.1"}))
    with pytest.raises(SandlotError, match=r"v2\.1; v3\.0 is read"):
        import_lerobot(tmp_path / "set", None)


def test_a_list_of_one_is_a_number_as_lerobot_expects() -> None:
    assert column_array(np.ones((4, 1), np.float32)).to_pylist() == [1.0] * 4
    assert column_array(np.ones((4, 2), np.float32)).to_pylist() == [[1.0, 1.0]] * 4


def test_a_dataset_of_others_gets_a_contract_and_an_end(tmp_path: Path) -> None:
    recording = recorded(tmp_path / "log.mcap")
    export_lerobot(recording, tmp_path / "set", "lap the course", "video")
    (tmp_path / "set" / "meta" / "sandlot.json").unlink()
    rows, contract = import_lerobot(tmp_path / "set", None)
    assert (contract.observation_size, contract.action_size) == (6, 2)  # the previous action comes on top
    assert len(rows) == 138
    assert rows["last"].sum() == 3
    first = rows[rows["episode"] == 0]
    np.testing.assert_array_equal(first["observation"][:, :4], recording.steps["observation"][:49])
    np.testing.assert_array_equal(first["observation"][1:, 4:], first["action"][:-1])
    np.testing.assert_array_equal(first["reward"][:-1], recording.steps["reward"][:48])
    assert rows["terminated"].sum() == 2  # the one that ended so, and the one that was truncated
    like = recording.contract
    with pytest.raises(SandlotError, match=r"expected observations \(49, 2\)"):
        import_lerobot(tmp_path / "set", like)


def test_the_costs_of_a_dataset_of_others_are_its_columns(tmp_path: Path) -> None:
    recording = recorded(tmp_path / "log.mcap")
    export_lerobot(recording, tmp_path / "set", "lap the course", "video")
    (tmp_path / "set" / "meta" / "sandlot.json").unlink()
    _, contract = import_lerobot(tmp_path / "set", None)
    like = msgspec.structs.replace(contract, cost_terms=("recorded.step",))
    rows, _ = import_lerobot(tmp_path / "set", like)
    first = rows[rows["episode"] == 0]
    np.testing.assert_array_equal(first["cost_terms"][:-1, 0], recording.steps["step"][:48])
    with pytest.raises(SandlotError, match="without impact every step would seem to cost nothing"):
        import_lerobot(tmp_path / "set", msgspec.structs.replace(like, cost_terms=("impact",)))


def test_a_camera_that_began_later_than_an_episode_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("av")
    recording = recorded(tmp_path / "log.mcap", camera=True)
    del recording.log.frames["front"][:5]
    with pytest.raises(SandlotError, match=r"its first frame came 0\.\d+ s after an episode began"):
        export_lerobot(recording, tmp_path / "set", "lap", "video")
    assert not (tmp_path / "set").exists()


@pytest.mark.slow
@pytest.mark.parametrize("pictures", ["none", "encoded", "video"])
def test_the_loader_of_lerobot_gives_what_was_recorded(tmp_path: Path, pictures: str) -> None:
    pytest.importorskip("lerobot", reason="lerobot is not installed here: docs/DATA.md says how to run this")
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    recording = recorded(tmp_path / "log.mcap", camera=pictures != "none")
    export_lerobot(
        recording, tmp_path / "set", "lap the course", "video" if pictures != "encoded" else pictures
    )
    dataset = LeRobotDataset("recorded/here", root=tmp_path / "set")
    assert (dataset.num_episodes, dataset.num_frames, dataset.fps) == (3, 138, 20)
    rows = recording.steps[~recording.steps["last"]]
    starts = {e.number: e.start_ns for e in recording.episodes}
    ticks, frames = recording.log.ticks, recording.log.frames.get("front", [])
    arrived = np.array([frame.received_ns for frame in frames])
    for k, row in enumerate(rows):
        item = dataset[k]
        assert item["task"] == "lap the course"
        assert int(item["episode_index"]) == row["episode"]
        np.testing.assert_array_equal(item["observation.state"].numpy(), row["observation"])
        np.testing.assert_array_equal(item["action"].numpy(), row["action"])
        assert item["next.reward"].item() == row["reward"]
        assert bool(item["next.done"]) == (row["terminated"] or row["truncated"])
        for name in ("time_ns", "sequence", "step", "actor", "policy_version", "terminated", "altered"):
            assert item[f"recorded.{name}"].item() == row[name], name
        np.testing.assert_array_equal(item["recorded.reward_terms"].numpy(), row["reward_terms"])
        measured = (row["time_ns"] - starts[int(row["episode"])]) / 1e9
        assert item["measured_timestamp"].item() == np.float32(measured), (
            "float64 in the file, its loader rounds"
        )
        stamp = int(row["step"]) / 20 if pictures == "video" else measured
        assert item["timestamp"].item() == np.float32(stamp)
        if "command.sent" in item:
            following = rows["time_ns"][k + 1] if k + 1 < len(rows) else 1 << 62
            until = min(int(following), int(row["time_ns"]) + 200_000_000)
            inside = ticks[(ticks["time_ns"] >= row["time_ns"]) & (ticks["time_ns"] < until)]
            if len(inside) and rows["episode"][min(k + 1, len(rows) - 1)] == row["episode"]:
                for name in ("requested", "allowed", "sent"):
                    command = inside[name][-1].astype(np.float32)
                    np.testing.assert_array_equal(item[f"command.{name}"].numpy(), command)
        if pictures != "none":
            frame = frames[np.searchsorted(arrived, row["time_ns"], side="right") - 1]
            assert item["captured_ns.front"].item() == frame.captured_ns
            shown = item["observation.images.front"].numpy()
            assert shown.shape == (3, HEIGHT, WIDTH)
            difference = np.abs(shown.transpose(1, 2, 0) * 255 - picture(frame.number))
            if pictures == "encoded":
                assert difference.max() < 1e-3, "the camera's own bytes"
            else:
                assert difference.mean() < PICTURE_ERROR
    stats = dataset.meta.stats["observation.state"]
    np.testing.assert_allclose(stats["mean"], rows["observation"].mean(0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(stats["std"], rows["observation"].std(0, dtype=np.float64), rtol=1e-6)
