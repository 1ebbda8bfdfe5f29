"""The smoke gate beside a learner: a process of its own with the twin in it, which the learner never sees.

The learner hands over a candidate and the policy that it published last, and gets a reason or none. Over
pipes: each of the two is its length (8 bytes, little-endian; 0 if nothing is published yet) and itself, a
verdict is a JSON line. When the learner's end closes, it ends.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec

from launch import catalogue
from launch.supervisor import python_command
from robot.errors import SandlotError
from robot.layout import Struct
from robot.spec import RobotSpec

PATIENCE_S = 30.0
"""A verdict that takes longer never comes [s]: a loaded machine takes five. The first one, which imports the
twin and builds it, is given twice the time."""
DEATHS = 3
"""After so many the gate is given up: its twin does not run here."""


class Verdict(Struct):
    """``reason``: why the candidate must not be published, empty if it may. ``remark``: for a person."""

    reason: str
    remark: str = ""


class SmokeProcess:
    """For the session of a run's ``directory``. Call it with a candidate and the policy that was published
    last, ONNX both; ``close`` at the end.

    It judges nothing, and says so, if it is too late, dies or does not start: a session must not end because
    its gate does. ``patience_s`` None waits for ever (lockstep).
    """

    def __init__(
        self,
        directory: Path,
        tell: Callable[[str], None],
        patience_s: float | None = PATIENCE_S,
        command: tuple[str, ...] = python_command("launch.smoke_process"),
    ) -> None:
        self._command = (*command, str(directory))
        self._tell, self._patience_s = tell, patience_s
        self._deaths, self._closed = 0, False
        self._child: subprocess.Popen[bytes] | None = None
        self._fresh = True
        with contextlib.suppress(OSError):  # the first candidate tries again, and is told
            self._started()

    def __enter__(self) -> SmokeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, onnx: bytes, published: bytes | None) -> str | None:
        """Why the candidate must not be published, or None."""
        if self._closed or self._deaths >= DEATHS:
            return None
        try:
            verdict = self._ask(self._started(), onnx, published or b"")
        except (OSError, SandlotError, msgspec.MsgspecError, ValueError) as error:
            if not self._closed:
                self._stop()
                self._deaths += 1
                gone = "; it is given up for this session" if self._deaths >= DEATHS else ""
                self._tell(f"the smoke gate did not judge a policy, which is published: {error}{gone}")
            return None
        self._fresh = False
        if verdict.remark:
            self._tell(f"smoke gate: {verdict.remark}")
        return verdict.reason or None

    def close(self) -> None:
        """End the process; whoever waits for a verdict gets none."""
        self._closed = True
        self._stop()

    def _started(self) -> subprocess.Popen[bytes]:
        """The process, a new one if there is none. Raises OSError if none can be started."""
        if self._child is None:
            # A session of its own: Ctrl-C is for whoever starts and stops processes.
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
            self._fresh = True
        return self._child

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()

    def _ask(self, child: subprocess.Popen[bytes], *policies: bytes) -> Verdict:
        assert child.stdin is not None and child.stdout is not None  # it was given pipes
        wait_s = math.inf if self._patience_s is None else self._patience_s * (2 if self._fresh else 1)
        until_s = time.monotonic() + wait_s
        message = memoryview(b"".join(len(onnx).to_bytes(8, "little") + onnx for onnx in policies))
        while message:  # more than a pipe holds, and a child that hangs takes nothing out of it
            _wait(child.stdin, select.POLLOUT, until_s)
            message = message[os.write(child.stdin.fileno(), message[: select.PIPE_BUF]) :]
        _wait(child.stdout, select.POLLIN, until_s)
        line = child.stdout.readline()
        if not line:
            raise SandlotError("its process has ended; see the learner's output")
        return msgspec.json.decode(line, type=Verdict)


def _wait(pipe: IO[bytes], event: int, until_s: float) -> None:
    """Until a pipe takes or has something. Raises SandlotError at ``until_s`` (monotonic) [s]."""
    poll = select.poll()  # select() cannot take descriptors from 1024 on
    poll.register(pipe, event)
    left_ms = None if math.isinf(until_s) else max(0.0, until_s - time.monotonic()) * 1e3
    if not poll.poll(left_ms):
        raise SandlotError("no verdict came in time; the machine is loaded, or the process hangs")


def unavailable(spec: RobotSpec, world: str) -> str | None:
    """Why this robot's policies cannot be tried in its twin here, in these surroundings, or None."""
    if not spec.twin:
        return f"{spec.name} has no twin"
    for name in ("mujoco", "scipy"):
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed here"
    try:
        catalogue.find("worlds", world)
    except SandlotError as error:
        return str(error)
    return None
