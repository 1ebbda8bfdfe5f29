"""One end of a stream as a process, to be killed: ``stream_process.py courier|learner DIRECTORY …``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from counting_learner import CountingLearner
from small_session import CALIBRATION, CONTRACT, KEY, SPEC

from learners.journal import Journal
from learners.server import LearnerServer, ServerConfig
from robot.board import Board
from robot.clock import MonotonicClock
from robot.courier import Courier
from robot.keys import load_learner_keys, load_robot_keys
from robot.transport import LearnerLink, RobotLink


def courier(directory: Path, session: str, steps: str, policies: str, keys: str = "") -> None:
    """Until the file ``stop`` appears; then close."""
    pair = load_robot_keys(Path(keys) / "robot.key", Path(keys) / "learner.pub") if keys else None
    link = RobotLink(steps, policies, pair)
    clock = MonotonicClock()
    board = Board(directory / "board", SPEC, CONTRACT)
    carrier = Courier(
        SPEC, CONTRACT, board, directory / "run", link, clock, KEY, session, CALIBRATION, sync_s=0.2
    )
    while not (directory / "stop").exists():
        carrier.pump()
        link.wait(0.005)
    carrier.close()


def learner(directory: Path, steps: str, policies: str, keys: str = "") -> None:
    """Until the file ``stop`` appears; then close, and say how many rows there were in ``learner.json``."""
    pair = load_learner_keys(Path(keys) / "learner.key", Path(keys) / "allowed") if keys else None
    link = LearnerLink(steps, policies, pair)
    counting = CountingLearner(CONTRACT, CALIBRATION)
    journal = Journal(directory / "rows.journal", CONTRACT.step_dtype())
    config = ServerConfig(sync_s=0.1, publish_s=0.5, checkpoint_s=0.7, pretrain=0)
    server = LearnerServer(link, counting, journal, directory, MonotonicClock(), KEY, config)
    while not (directory / "stop").exists():
        if not server.pump():
            link.wait(0.005)
    server.close()
    found = {name: counting.rows(name)["sequence"].tolist() for name in journal.sessions()}
    (directory / "learner.json").write_text(json.dumps({"rows": found, "counts": dict(server.counts)}))
    link.close()


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
