"""Opens a recording in whichever viewer is installed: both read its MCAP files as they are."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from robot.errors import SandlotError

COMMANDS: Final = {"rerun": ("rerun",), "foxglove": ("foxglove-studio", "foxglove")}
"""Each viewer's programs, by which it may be called."""
INSTALL: Final = {
    "rerun": "pip install rerun-sdk",
    "foxglove": "the desktop program from Foxglove, or drop the files on its web page",
}


def open_viewer(files: Sequence[Path], viewer: str) -> int:
    """Start it and leave it to itself. Raises SandlotError if there is none."""
    wanted = tuple(COMMANDS) if viewer == "any" else (viewer,)
    for name in wanted:
        program = next((p for p in map(shutil.which, COMMANDS[name]) if p), None)
        if program is not None:
            subprocess.Popen(
                [program, *(str(file.resolve()) for file in files)],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            print(f"{name} opens {', '.join(map(str, files))}")
            return 0
    remedies = "; or ".join(f"{name}: {INSTALL[name]}" for name in wanted)
    raise SandlotError(f"no viewer is installed here. {remedies}; or add --png FILE for a picture")
