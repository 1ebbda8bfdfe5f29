"""A command that runs beside a session, behind everything else, and whose newest line is shown."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final

from launch.supervisor import SUPERVISOR

ENDS_S: Final = 2.0
"""How long it may take to end once it is asked to [s]."""


class Beside:
    """``show`` is told every line, from a thread of its own. Ends with the context; one that calls
    ``launch.processes.follow_parent`` ends with this process, too, however that ends."""

    def __init__(
        self,
        command: Sequence[str],
        show: Callable[[str], None],
        environment: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._command, self._show, self._environment = ("nice", "-n", "19", *command), show, dict(environment)

    def __enter__(self) -> Beside:
        self._child = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **self._environment, SUPERVISOR: str(os.getpid())},
            start_new_session=True,  # Ctrl-C is the session's
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._show(line.rstrip())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.terminate()
        try:
            self._child.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._thread.join(ENDS_S)
