"""The learner's end of the smoke gate: verdicts, and a gate that dies, dawdles or talks nonsense."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import msgspec
import pytest

from launch.catalogue import find
from launch.clearance import begun_with
from launch.manifest import Setup
from launch.session import create_session
from launch.smoke_gate import DEATHS, SmokeProcess, unavailable
from launch.smoke_process import serve
from robot.spec import load_spec
from sim.validation.smoke import SmokeGate

ECHO = """
import sys, json
while len(header := sys.stdin.buffer.read(8)) == 8:
    said = sys.stdin.buffer.read(int.from_bytes(header, "little")).decode()
    drives = sys.stdin.buffer.read(int.from_bytes(sys.stdin.buffer.read(8), "little")).decode()
    if said == "die":
        raise SystemExit(1)
    if said == "dawdle":
        import time; time.sleep(60)
    verdict = {"reason": said and said + drives, "remark": said and "told"}
    print(said if said == "nonsense" else json.dumps(verdict), flush=True)
"""


def gate(tmp_path: Path, lines: list[str], patience_s: float | None = None) -> SmokeProcess:
    return SmokeProcess(tmp_path, lines.append, patience_s, (sys.executable, "-c", ECHO))


def test_a_verdict_is_a_reason_or_none(tmp_path: Path) -> None:
    lines: list[str] = []
    with gate(tmp_path, lines) as judge:
        assert judge(b"it leaves the track", None) == "it leaves the track"
        assert judge(b"worse than ", b"what drives") == "worse than what drives"
        assert judge(b"", None) is None
        assert judge(b"x" * 300_000, None) == "x" * 300_000
    assert lines == 3 * ["smoke gate: told"]


@pytest.mark.parametrize("trouble", [b"die", b"nonsense"])
def test_what_is_not_judged_is_published_and_said_and_the_gate_starts_again(
    tmp_path: Path, trouble: bytes
) -> None:
    lines: list[str] = []
    with gate(tmp_path, lines) as judge:
        for k in range(DEATHS):
            assert judge(b"bad", None) == "bad"
            assert judge(trouble, None) is None
            assert "did not judge" in lines[-1]
            assert ("given up" in lines[-1]) == (k == DEATHS - 1)
        assert judge(b"bad", None) is None


def test_a_verdict_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    lines: list[str] = []
    with gate(tmp_path, lines, patience_s=0.05) as judge:
        assert judge(b"dawdle", None) is None
    assert "no verdict came in time" in lines[-1]


def test_a_process_that_takes_no_candidate_is_not_waited_for(tmp_path: Path) -> None:
    lines: list[str] = []
    hanging = (sys.executable, "-c", "import time; time.sleep(60)")
    with SmokeProcess(tmp_path, lines.append, 0.05, hanging) as judge:
        assert judge(bytes(1 << 20), None) is None
    assert "no verdict came in time" in lines[-1]


def test_a_process_that_does_not_start_is_told_and_given_up(tmp_path: Path) -> None:
    lines: list[str] = []
    with SmokeProcess(tmp_path, lines.append, None, (str(tmp_path / "nowhere"),)) as judge:
        assert [judge(b"bad", None) for _ in range(DEATHS + 1)] == [None] * (DEATHS + 1)
    assert len(lines) == DEATHS and "did not judge" in lines[0] and "given up" in lines[-1]


def test_why_there_is_no_gate() -> None:
    spec = load_spec(find("robots", "racer"))
    assert unavailable(spec, "oval") is None
    assert "no world" in (unavailable(spec, "car-park") or "")
    assert "has no twin" in (unavailable(msgspec.structs.replace(spec, twin=""), "oval") or "")


def test_until_something_is_published_a_candidate_meets_what_the_session_began_with(tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes(b"mine")
    setup = Setup(policy=str(tmp_path / "mine.onnx"))
    session = create_session("racer", "oval", role="practice", runs=tmp_path, twin=True, setup=setup)
    said, verdicts = BytesIO(), []
    for part in (b"new", b"", b"newer", b"new"):
        said.write(len(part).to_bytes(8, "little") + part)
    said.seek(0)

    class Meeting(SmokeGate):
        def __init__(self) -> None:
            self.gave_way = ""

        def judge(self, onnx: bytes, published: bytes | None) -> str | None:
            verdicts.append((onnx, published))
            return None

    (tmp_path / "mine.onnx").write_bytes(b"another by now")
    serve(Meeting(), begun_with(session), said, BytesIO())
    assert verdicts == [(b"new", b"mine"), (b"newer", b"new")]


def test_its_process_imports_nothing_that_it_has_no_use_for() -> None:
    """Such as scipy.stats, which alone took longer than a policy's trial."""
    needless = "{'scipy', 'torch', 'onnx', 'matplotlib', 'zmq'}"
    check = f"import sys, launch.smoke_process; sys.exit(', '.join({needless} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""


@pytest.mark.slow
def test_the_process_judges_in_the_twin_of_a_session(tmp_path: Path) -> None:
    session = create_session("racer", "oval", role="practice", runs=tmp_path, twin=True, fast=True)
    lines: list[str] = []
    with SmokeProcess(session.directory, lines.append, patience_s=None) as judge:
        assert "unsafe" in (judge(b"no policy", None) or "")
    assert lines == []
