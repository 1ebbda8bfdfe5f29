"""What a real-time loop asks of Linux. Each request that is refused is named, with what would grant it."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import gc
import os
import resource
from collections.abc import Sequence
from pathlib import Path

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_PR_SET_TIMERSLACK = 29
_MEMLOCK_BYTES = 1 << 29
"""A numpy process maps far more than it touches; below this limit a locked process could fail to allocate."""

_AUTOGROUP = Path("/proc/self/autogroup")
_LIMITS_FILE = "/etc/security/limits.d/90-sandlot.conf"


def enter_realtime(priority: int = 80, cpus: Sequence[int] | None = None) -> list[str]:
    """Make the calling process a real-time one, as far as it is permitted.

    SCHED_FIFO at ``priority`` (children and threads started later get normal scheduling), memory locked as it
    is touched, Python's collector told to leave alone what exists now, timers without slack, and, where
    ``cpus`` is given, pinned to those processors. Call once, after everything has been built and before the
    loop. Returns one line for each thing that could not be had and what would grant it; empty if all could.
    """
    missing = [line for line in (_schedule(priority), _lock_memory(), _pin(cpus)) if line]
    _libc().prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    gc.collect()
    gc.freeze()
    return missing


def stand_back(niceness: int) -> None:
    """Leave the processor to those with less ``niceness``, 0 to 19.

    Linux weighs whole sessions against each other where automatic grouping is on (sched_autogroup_enabled,
    the default of most distributions), so that a process with a session of its own must also say it there;
    its own niceness only counts inside its session.
    """
    os.nice(niceness)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # no such grouping here
            _AUTOGROUP.write_text(str(niceness))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(ctypes.util.find_library("c") or "libc.so.6", use_errno=True)


def _schedule(priority: int) -> str:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        return (
            f"no real-time scheduling (SCHED_FIFO {priority}: {error.strerror}); the loop will be late under "
            f"load. Add '@realtime - rtprio 95' to {_LIMITS_FILE}, run 'sudo groupadd -f realtime && "
            "sudo usermod -aG realtime $USER', and log in again"
        )
    return ""


def _lock_memory() -> str:
    grant = f"Add '@realtime - memlock unlimited' to {_LIMITS_FILE} and log in again"
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if os.geteuid() != 0 and limit != resource.RLIM_INFINITY and limit < _MEMLOCK_BYTES:
        return (
            f"memory not locked (limit {limit >> 10} KiB, {_MEMLOCK_BYTES >> 10} KiB needed); a page fault "
            f"may delay a tick. {grant}"
        )
    if _libc().mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        return (
            f"memory not locked ({os.strerror(ctypes.get_errno())}); a page fault may delay a tick. {grant}"
        )
    return ""


def _pin(cpus: Sequence[int] | None) -> str:
    if cpus is None:
        return ""
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        have = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        wanted = ", ".join(map(str, cpus))
        return f"not pinned to processor {wanted} ({error.strerror}); this process may use {have}"
    return ""
