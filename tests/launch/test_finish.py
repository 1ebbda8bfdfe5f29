"""A session ends in order on a computer that has what a robot needs and no more."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from launch.conductor import Ending
from launch.finish import finish
from launch.session import create_session

GOLDEN = Path(__file__).parents[1] / "golden/normal.mcap"
ONBOARD = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("mujoco", "torch", "scipy", "matplotlib", "cv2", "onnx"):
            raise ModuleNotFoundError(name=name.partition(".")[0])

sys.meta_path.insert(0, Missing())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in ("scipy", "matplotlib", "mujoco") else found(name)

from pathlib import Path
from launch.conductor import Ending
from launch.finish import finish
from launch.session import open_session

sys.exit(finish(open_session(Path(sys.argv[1])), Ending("done"), with_report=True, as_json=False))
"""


def test_the_newest_policy_is_put_there_whole_and_in_nobody_else_s_file(tmp_path: Path) -> None:
    session = create_session("racer", "oval", role="practice", runs=tmp_path, twin=True)
    (session.policies / "000007.onnx").write_bytes(b"newest")
    theirs, ours = tmp_path / "theirs.onnx", session.directory / "policy.onnx"
    theirs.write_bytes(b"what drives elsewhere")
    ours.hardlink_to(theirs)
    assert finish(session, Ending("done"), with_report=False, as_json=False) == 0
    assert ours.read_bytes() == b"newest" and theirs.read_bytes() == b"what drives elsewhere"


def test_it_needs_neither_twin_nor_learner_nor_pictures(tmp_path: Path) -> None:
    session = create_session("racer", "oval", role="practice", runs=tmp_path, twin=True)
    shutil.copyfile(GOLDEN, session.log)
    command = [sys.executable, "-c", ONBOARD, str(session.directory)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 0, done.stderr
    assert "calibration not checked: scipy is not installed here" in done.stdout
    assert "no report: matplotlib is not installed here" in done.stdout
