"""The kernels' library: made once, whole or not at all, and told of in one line where it cannot be made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from learners.engine import compiled
from learners.engine.compiled import NoCompilerError, load_library
from learners.engine.kernels import load_kernels
from learners.engine.torch_kernels import TorchKernels


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sandlot"


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.slow
def test_processes_that_compile_at_once_do_not_disturb_each_other(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = "from learners.engine.compiled import load_library; load_library()"
    processes = [subprocess.Popen([sys.executable, "-c", load]) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    (made,) = cache.iterdir()
    assert cache.stat().st_mode & 0o077 == 0
    before = made.stat().st_mtime_ns
    monkeypatch.setattr(compiled, "_compile", lambda *_: pytest.fail("compiled once more"))
    load_library()
    assert made.stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_damaged_library_is_made_again(cache: Path) -> None:
    cache.mkdir(parents=True)
    compiler = next(filter(None, map(shutil.which, compiled.COMPILERS)))
    made = cache / f"kernels-{compiled._key(compiler)}.so"
    made.write_bytes(b"\x7fELF cut short")
    assert load_library().layer_float32
    assert made.stat().st_size > 1000


@pytest.mark.usefixtures("cache")
def test_another_processor_source_or_compiler_is_another_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = script(tmp_path / "one", "exit 0")
    keys = [compiled._key(str(here))]
    monkeypatch.setattr(compiled, "_processor", lambda: "another")
    keys.append(compiled._key(str(here)))
    source = tmp_path / "kernels.cpp"
    source.write_text("// another")
    monkeypatch.setattr(compiled, "SOURCE", source)
    keys.append(compiled._key(str(here)))
    script(here, "exit 1")
    os.utime(here, ns=(1, 1))
    keys.append(compiled._key(str(here)))
    assert len(set(keys)) == 4


@pytest.mark.parametrize(
    ("compilers", "said"),
    [((), "no C.. compiler"), (("broken",), "cannot do this"), (("absent",), "install")],
)
def test_without_a_working_compiler_torch_stands_in_and_one_line_says_so(
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    compilers: tuple[str, ...],
    said: str,
) -> None:
    script(tmp_path / "broken", "echo 'cannot do this' >&2; echo really >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(compiled, "COMPILERS", compilers)
    with pytest.raises(NoCompilerError, match=said):
        load_library()
    kernels, slow = load_kernels()
    assert isinstance(kernels, TorchKernels)
    assert slow is not None and "more slowly" in slow and "\n" not in slow
    assert not cache.exists() or not list(cache.iterdir())
