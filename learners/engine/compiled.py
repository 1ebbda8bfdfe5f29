"""The C++ kernels as a library: compiled once for this processor, kept in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from robot.errors import SandlotError

SOURCE: Final = Path(__file__).with_name("kernels.cpp")
COMPILERS: Final = ("g++", "c++", "clang++")
FLAGS: Final = (
    "-O2",
    "-march=native",
    "-std=c++17",
    "-fopenmp-simd",
    # Not -ffast-math: a NaN must stay one.
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-shared",
    "-fPIC",
)
TIMEOUT_S: Final = 120.0
FAILURES: Final = (OSError, subprocess.SubprocessError, RuntimeError)
"""Of making and loading; RuntimeError is a user without a home."""


class NoCompilerError(SandlotError):
    """The kernels could not be compiled or loaded; the message says why and what to do."""


def load_library() -> ctypes.CDLL:
    """The kernels, compiled if this user has not compiled them for this processor before (2 s).

    Raises NoCompilerError.
    """
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise NoCompilerError(
            f"no C++ compiler ({', '.join(COMPILERS)}) was found; install g++ (Debian: apt-get install g++)"
        )
    try:
        path = _cache() / f"kernels-{_key(compiler)}.so"
        try:
            return ctypes.CDLL(str(path))
        except OSError:  # not there yet, or damaged
            _compile(compiler, path)
            return ctypes.CDLL(str(path))
    except FAILURES as error:
        said = " ".join((getattr(error, "stderr", None) or str(error)).split())[-500:]
        raise NoCompilerError(
            f"{compiler} could not make the kernels: {said}; XDG_CACHE_HOME names another place for them"
        ) from None


def _compile(compiler: str, path: Path) -> None:
    """Whole or not at all, also when several processes compile at once."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=path.parent) as directory:
        made = Path(directory) / path.name
        subprocess.run(
            [compiler, *FLAGS, str(SOURCE), "-o", str(made)],
            check=True,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        made.replace(path)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "sandlot"


def _key(compiler: str) -> str:
    """Changes with the source, the compiler and the processor: a home may be shared between machines."""
    binary = Path(compiler).resolve()
    status = binary.stat()
    about = (
        *FLAGS,
        str(binary),
        str(status.st_size),
        str(status.st_mtime_ns),
        platform.machine(),
        _processor(),
    )
    digest = hashlib.sha256("\n".join(about).encode())
    digest.update(SOURCE.read_bytes())
    return digest.hexdigest()[:24]


def _processor() -> str:
    """Model and instruction sets."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    wanted = ("model name", "flags", "Features", "CPU part")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
