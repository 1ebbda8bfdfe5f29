"""The learner's process: serve until told to stop, then write a checkpoint."""

from __future__ import annotations

import signal
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Final

from learners.config import LearnerConfig
from learners.journal import Journal
from learners.learner import Learner
from learners.publisher import Gate, Trial
from learners.server import LearnerServer, ServerConfig
from robot.clock import Clock, MonotonicClock
from robot.contract import TaskContract
from robot.transport import LearnerEnd

IDLE_S: Final = 0.02
"""How long to wait for a message when there is nothing to learn: bounds the lateness of timed work."""


def serve(
    link: LearnerEnd,
    contract: TaskContract,
    directory: Path,
    session_key: bytes,
    *,
    config: LearnerConfig | None = None,
    server_config: ServerConfig | None = None,
    seed: int = 0,
    calibration_hash: str = "",
    clock: Clock | None = None,
    gate: Gate | None = None,
    stop: Callable[[], bool] | None = None,
    tell: Callable[[str], None] | None = None,
) -> LearnerServer:
    """Serve robots until ``stop()`` (SIGTERM or SIGINT where it is not given); then checkpoint and close.

    ``directory``: the learner's folder (``journal/``, ``checkpoints/``, the newest policy); what is there is
    continued. Raises ContractMismatchError if it belongs to another contract.
    """
    stop, tell = stop or stop_on_signals(), tell or _print
    learner = Learner(contract, config or LearnerConfig(), seed, calibration_hash)
    if learner.slow is not None:
        tell(learner.slow)
    journal = Journal(directory / "journal" / "rows.journal", contract.step_dtype())
    server = LearnerServer(
        link,
        learner,
        journal,
        directory,
        clock or MonotonicClock(),
        session_key,
        server_config,
        trial=None if gate is None else Trial(gate),
        tell=tell,
    )
    try:
        while not stop():
            if not server.pump():
                link.wait(IDLE_S)
    finally:
        try:
            server.close()
        finally:
            link.close()
    return server


def stop_on_signals() -> Callable[[], bool]:
    """SIGTERM and SIGINT as a flag."""
    asked = threading.Event()

    def take(number: int, frame: types.FrameType | None) -> None:
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, take)
    return asked.is_set


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
