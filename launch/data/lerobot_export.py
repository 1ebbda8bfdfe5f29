"""A recording as a LeRobotDataset v3, which lerobot 0.4 loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from launch.data import lerobot_layout as layout
from launch.data.demonstrations import COMMANDS, Demonstration, columns, demonstrations
from launch.data.lerobot_layout import Feature, column_name
from launch.data.lerobot_video import decode, encode, seen
from launch.data.recording import Recording
from robot.errors import SandlotError
from robot.image_message import Frame

Columns = dict[str, NDArray[Any]]
Pictures = dict[str, list[Frame]]


def export_lerobot(recording: Recording, out: Path, task: str, pictures: str) -> int:
    """Write it to the new folder ``out``; returns how many episodes. ``task``: in words, empty: as recorded.
    ``pictures``: ``video``, or ``encoded`` for the camera's own bytes in the table. With videos LeRobot's
    ``timestamp`` is its nominal one, index over rate, by which it looks a picture up; without, it is the
    measured one. Raises SandlotError if ``out`` exists."""
    if out.exists():
        raise SandlotError(f"{out} exists; choose another name")
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "meta").mkdir(parents=True)
    try:
        count = _Export(recording, partial, task, pictures == "video").write()
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return count


class _Export:
    def __init__(self, recording: Recording, folder: Path, task: str, video: bool) -> None:
        self._folder, self._recording = folder, recording
        self._demonstrations = list(demonstrations(recording, task))
        self._tasks = list(dict.fromkeys(d.about.task for d in self._demonstrations))
        if not self._demonstrations:
            raise SandlotError(f"{recording.path}: nobody acted in it, so there is nothing to export")
        self._contract = recording.contract
        self._hz = Fraction(self._contract.policy_hz).limit_denominator(1000)
        logged = all(d.commands for d in self._demonstrations)
        self._features = layout.features(
            self._contract, recording.steps, recording.spec.actuator_layout if logged else None
        )
        self._cameras = {name: frames for name, frames in recording.log.frames.items() if frames}
        self._video = video and bool(self._cameras)
        for name, frames in self._cameras.items():
            shape = decode(frames[0]).shape
            kind = "video" if self._video else "image"
            feature = Feature(kind, shape, ("height", "width", "channels"))
            self._features[f"{layout.PICTURE}{name}"] = feature
            self._features[f"{layout.CAPTURED}{name}"] = Feature("int64", (1,))
        self._all: list[Columns] = []
        self._shown: list[Pictures] = []

    def write(self) -> int:
        start = 0
        for index, demonstration in enumerate(self._demonstrations):
            times = demonstration.acted["time_ns"]
            shown = {name: seen(frames, times, name) for name, frames in self._cameras.items()}
            self._all.append(self._columns(demonstration, shown, index, start))
            self._shown.append(shown)
            start += len(demonstration.acted)
        files = self._tables()
        if self._video:
            for index, shown in enumerate(self._shown):
                for name, frames in shown.items():
                    encode(self._folder / self._video_path(name, index), frames, self._hz)
        self._meta(files)
        return len(self._all)

    def _columns(self, found: Demonstration, shown: Pictures, episode: int, start: int) -> Columns:
        rows, count = found.acted, len(found.acted)
        measured = (rows["time_ns"] - rows["time_ns"][0]) / 1e9
        nominal = np.arange(count) / float(self._hz)
        made: Columns = {
            layout.STATE: rows["observation"],
            "action": rows["action"],
            layout.DONE: rows["terminated"] | rows["truncated"],
            layout.MEASURED: measured,
            "timestamp": (nominal if self._video else measured).astype(np.float32),
            "frame_index": np.arange(count),
            "episode_index": np.full(count, episode),
            "index": start + np.arange(count),
            "task_index": np.full(count, self._tasks.index(found.about.task)),
        }
        made |= {column_name(field): column for field, column in columns(rows).items()}
        made |= {f"command.{name}": found.commands[name] for name in COMMANDS if name in found.commands}
        for name, frames in shown.items():
            captured = np.array([frame.captured_ns for frame in frames], np.int64)
            made[f"{layout.CAPTURED}{name}"] = captured
        return {name: made[name] for name in self._features if name in made}

    def _tables(self) -> list[int]:
        """Write all rows; returns which file each episode is in."""
        files, writer, used = [], None, 0
        number = -1
        for made, shown in zip(self._all, self._shown, strict=True):
            table = self._table(made, shown)
            if writer is None or used + table.nbytes > layout.DATA_FILE_MB << 20:
                if writer is not None:
                    writer.close()
                number, used = number + 1, 0
                path = self._folder / layout.DATA.format(**_place(number))
                path.parent.mkdir(parents=True, exist_ok=True)
                writer = parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)
            used += table.nbytes
            files.append(number)
        if writer is not None:
            writer.close()
        return files

    def _table(self, made: Columns, shown: Pictures) -> pa.Table:
        arrays = {name: column_array(column) for name, column in made.items()}
        if not self._video:
            for name, frames in shown.items():
                cells = [{"bytes": f.data, "path": f"{name}-{f.number}.{f.format}"} for f in frames]
                kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
                arrays[f"{layout.PICTURE}{name}"] = pa.array(cells, kind)
        return pa.table(arrays)

    def _video_path(self, camera: str, episode: int) -> str:
        return layout.VIDEO.format(video_key=f"{layout.PICTURE}{camera}", **_place(episode))

    def _meta(self, files: list[int]) -> None:
        start, episodes = 0, []
        for index, (made, found) in enumerate(zip(self._all, self._demonstrations, strict=True)):
            length = len(made["index"])
            place = {f"data/{key}": value for key, value in _place(files[index]).items()}
            row: dict[str, Any] = {
                "episode_index": index,
                "tasks": [found.about.task],
                "length": length,
                **place,
                "dataset_from_index": start,
                "dataset_to_index": start + length,
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
            }
            for name in self._cameras if self._video else ():
                key = f"videos/{layout.PICTURE}{name}"
                row |= {f"{key}/{part}": value for part, value in _place(index).items()}
                row |= {f"{key}/from_timestamp": 0.0, f"{key}/to_timestamp": length / float(self._hz)}
            start += length
            episodes.append(row)
        path = self._folder / layout.EPISODES
        path.parent.mkdir(parents=True)
        parquet.write_table(pa.Table.from_pylist(episodes), path)
        parquet.write_table(_tasks(self._tasks), self._folder / layout.TASKS)
        self._write(layout.ABOUT, [{"episode": d.number, **d.about.plain()} for d in self._demonstrations])
        lasts = [d.last for d in self._demonstrations if len(d.last)]
        last = np.concatenate(lasts, dtype=lasts[0].dtype) if lasts else self._recording.steps[:0]
        raw = {layout.STATE: last["observation"], "action": last["action"], **columns(last)}
        parquet.write_table(
            pa.table({name: column_array(column) for name, column in raw.items()}), self._folder / layout.LAST
        )
        (self._folder / layout.CONTRACT).write_bytes(msgspec.json.encode(self._contract))
        self._write(layout.STATS, _statistics(self._all, self._features, self._shown))
        hz = int(self._hz) if self._hz.denominator == 1 else float(self._hz)
        self._write(
            layout.INFO,
            {
                "codebase_version": layout.VERSION,
                "robot_type": self._recording.spec.name,
                "total_episodes": len(episodes),
                "total_frames": start,
                "total_tasks": len(self._tasks),
                "chunks_size": layout.FILES_PER_CHUNK,
                "data_files_size_in_mb": layout.DATA_FILE_MB,
                "video_files_size_in_mb": layout.VIDEO_FILE_MB,
                "fps": hz,
                "splits": {"train": f"0:{len(episodes)}"},
                "data_path": layout.DATA,
                "video_path": layout.VIDEO if self._video else None,
                "features": {name: feature.plain() for name, feature in self._features.items()},
            },
        )

    def _write(self, name: str, content: Mapping[str, Any] | list[Any]) -> None:
        (self._folder / name).write_text(json.dumps(content, indent=2))


def column_array(column: NDArray[Any]) -> pa.Array:
    """(n,) and (n, 1) as values, for LeRobot has no lists of one; (n, k) as lists of k."""
    if column.ndim == 1 or column.shape[1] == 1:
        return pa.array(np.ascontiguousarray(column).reshape(-1))
    flat = pa.array(np.ascontiguousarray(column).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, column.shape[1])


def _place(number: int) -> dict[str, int]:
    chunk, file = divmod(number, layout.FILES_PER_CHUNK)
    return {"chunk_index": chunk, "file_index": file}


def _tasks(tasks: list[str]) -> pa.Table:
    """LeRobot looks tasks up by pandas' index, so the table says that the text is one."""
    index = "__index_level_0__"
    column = {"pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    pandas = {
        "index_columns": [index],
        "column_indexes": [],
        "columns": [
            {"name": "task_index", "field_name": "task_index", **column}
            | {"pandas_type": "int64", "numpy_type": "int64"},
            {"name": None, "field_name": index, **column},
        ],
        "pandas_version": "2.0.0",
    }
    table = pa.table({"task_index": list(range(len(tasks))), index: tasks})
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


def _statistics(
    episodes: list[Columns], features: Mapping[str, Feature], shown: list[Pictures]
) -> dict[str, dict[str, Any]]:
    """Of every column, by which policies normalise; of pictures by channel, in [0, 1], from some of them."""
    found = {}
    for name, feature in features.items():
        if name.startswith(layout.PICTURE):
            frames = [f for pictures in shown for f in pictures[name.removeprefix(layout.PICTURE)]]
            some = frames[:: max(1, len(frames) // 100)]
            values = np.concatenate([decode(f).reshape(-1, 3) for f in some]) / 255.0
            shape: tuple[int, ...] = (3, 1, 1)
        else:
            values = np.concatenate([np.asarray(e[name], np.float64) for e in episodes])
            values = values.reshape(len(values), -1)
            shape = feature.shape
        with np.errstate(invalid="ignore"):
            figures = {k: getattr(np, f"nan{k}")(values, axis=0) for k in ("min", "max", "mean", "std")}
        found[name] = {k: v.reshape(shape).tolist() for k, v in figures.items()} | {"count": [len(values)]}
    return found
