"""``sandlot data``: recordings and data sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from launch.options.defaults import LATEST, RUNS


@dataclass(frozen=True)
class DataLsOptions:
    """List recordings: robot, task, duration, episodes, size, and whether each is whole.

    Example: sandlot data ls runs
    """

    folder: Annotated[Path, Positional] = RUNS
    """Where to look, and below."""
    json: bool = False
    """Print one JSON object on the last line."""


@dataclass(frozen=True)
class DataInfoOptions:
    """What a recording holds: its robot, its records, each of its episodes.

    Example: sandlot data info runs/racer/latest
    """

    log: Annotated[Path, Positional] = LATEST
    """A run's folder or a log.mcap."""
    json: bool = False
    """Print it as one JSON object."""


@dataclass(frozen=True)
class DataDoctorOptions:
    """What is wrong with a recording: cut off, gaps, drift, dropped frames, times, index, spec.

    Example: sandlot data doctor runs/racer/latest

    Exit code 0 if nothing is, 1 if something is.
    """

    log: Annotated[Path, Positional] = LATEST
    """A run's folder or a log.mcap."""
    json: bool = False
    """Print the findings as one JSON object on the last line."""


@dataclass(frozen=True)
class DataRepairOptions:
    """Mend a recording that was cut off into a new one, with an index; the original stays as it is.

    Example: sandlot data repair runs/racer/latest --output mended
    """

    log: Annotated[Path, Positional]
    """A run's folder or a log.mcap."""
    output: Path
    """The new folder, or for a single file the new file."""


@dataclass(frozen=True)
class DataSplitOptions:
    """Copy some of a recording's episodes, with all else from within their time.

    Example: sandlot data split runs/racer/latest --episodes 0-9,12 --output first
    """

    log: Annotated[Path, Positional]
    """A run's folder or a log.mcap."""
    episodes: str
    """Which: 0-9,12 or 5- (sandlot data info lists them)."""
    output: Path
    """The new folder."""


@dataclass(frozen=True)
class DataMergeOptions:
    """Put recordings of one task together, their episodes numbered through.

    Example: sandlot data merge runs/racer/monday runs/racer/tuesday --output both
    """

    logs: Annotated[tuple[Path, ...], Positional]
    """Runs' folders or log files, in order."""
    output: Path
    """The new folder."""


@dataclass(frozen=True)
class DataRelabelOptions:
    """Give a recording another reward, by a Python function of what was logged of each step.

    Example: sandlot data relabel runs/racer/latest --reward rewards.py:smooth --output smooth

    The function takes columns by name and returns a reward for each row: def smooth(steps): return
    steps["reward_progress"] - 0.1 * abs(steps["action_steering"]). All names: --names
    """

    log: Annotated[Path, Positional]
    """A run's folder or a log.mcap."""
    reward: str = ""
    """FILE.py:FUNCTION."""
    output: Path | None = None
    """The new folder."""
    names: bool = False
    """Only list the names of what was logged of each step."""


@dataclass(frozen=True)
class DataExportOptions:
    """Write a recording's episodes as a dataset that other tools read.

    Example: sandlot data export runs/racer/latest --to lerobot --output racer-laps

    To learn from: sandlot data export runs/racer/latest --to journal --output prior
    """

    log: Annotated[Path, Positional]
    """A run's folder or a log.mcap."""
    to: Literal["lerobot", "minari", "robomimic", "journal"]
    """LeRobotDataset v3 (a folder), Minari (a dataset's name), robomimic (an HDF5 file), or a journal of
    prior data (a folder)."""
    output: str
    """What to write: a folder, a file, or for minari a name such as racer/laps-v0."""
    task: str = ""
    """The task in words, of all episodes (default: as it was recorded, else the contract's)."""
    pictures: Literal["video", "encoded"] = "video"
    """For lerobot: H.264 video, or in the table as the camera encoded them, to the last bit."""


@dataclass(frozen=True)
class DataImportOptions:
    """Make prior data of somebody's dataset: a journal that a learner begins with.

    Example: sandlot data import racer-laps --source lerobot --output prior

    Then: sandlot learn --env NAME --prior prior
    """

    dataset: Annotated[str, Positional]
    """The dataset: a LeRobotDataset v3's folder, or the name of one that Minari has here."""
    source: Literal["lerobot", "minari"]
    """Whose format it has."""
    output: Path
    """The new folder."""
    like: Path | None = None
    """A recording with the contract to fit it to; not needed for what 'sandlot data export' wrote."""


@dataclass(frozen=True)
class DataViewOptions:
    """Look at a recording in Rerun or Foxglove, or draw an overview of it.

    Example: sandlot data view runs/racer/latest --png overview.png
    """

    log: Annotated[Path, Positional] = LATEST
    """A run's folder or a log.mcap."""
    viewer: Literal["any", "rerun", "foxglove"] = "any"
    """Which to open; any: whichever is installed."""
    png: Path | None = None
    """Draw the overview to this file and open nothing."""
