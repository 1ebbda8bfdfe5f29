"""The learner's end of the smoke gate: verdicts, and a gate that dies, dawdles or talks nonsense."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from launch.catalogue import find
from launch.session import create_session
from launch.smoke_gate import DEATHS, SmokeProcess, unavailable
from robot.spec import load_spec

ECHO = """
import sys, json
while len(header := sys.stdin.buffer.read(8)) == 8:
    said = sys.stdin.buffer.read(int.from_bytes(header, "little")).decode()
    if said == "die":
        raise SystemExit(1)
    if said == "dawdle":
        import time; time.sleep(60)
    print(said if said == "nonsense" else json.dumps({"reason": said, "remark": said and "told"}), flush=True)
"""


def gate(tmp_path: Path, lines: list[str], patience_s: float | None = None) -> SmokeProcess:
    return SmokeProcess(tmp_path, lines.append, patience_s, (sys.executable, "-c", ECHO))


def test_a_verdict_is_a_reason_or_none(tmp_path: Path) -> None:
    lines: list[str] = []
    with gate(tmp_path, lines) as judge:
        assert judge(b"it leaves the track") == "it leaves the track"
        assert judge(b"") is None
        assert judge(b"x" * 300_000) == "x" * 300_000
    assert lines == 2 * ["smoke gate: told"]


@pytest.mark.parametrize("trouble", [b"die", b"nonsense"])
def test_what_is_not_judged_is_published_and_said_and_the_gate_starts_again(
    tmp_path: Path, trouble: bytes
) -> None:
    lines: list[str] = []
    with gate(tmp_path, lines) as judge:
        for k in range(DEATHS):
            assert judge(b"bad") == "bad"
            assert judge(trouble) is None
            assert "did not judge" in lines[-1]
            assert ("given up" in lines[-1]) == (k == DEATHS - 1)
        assert judge(b"bad") is None


def test_a_verdict_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    lines: list[str] = []
    with gate(tmp_path, lines, patience_s=0.05) as judge:
        assert judge(b"dawdle") is None
    assert "no verdict came in time" in lines[-1]


def test_a_process_that_takes_no_candidate_is_not_waited_for(tmp_path: Path) -> None:
    lines: list[str] = []
    hanging = (sys.executable, "-c", "import time; time.sleep(60)")
    with SmokeProcess(tmp_path, lines.append, 0.05, hanging) as judge:
        assert judge(bytes(1 << 20)) is None
    assert "no verdict came in time" in lines[-1]


def test_a_process_that_does_not_start_is_told_and_given_up(tmp_path: Path) -> None:
    lines: list[str] = []
    with SmokeProcess(tmp_path, lines.append, None, (str(tmp_path / "nowhere"),)) as judge:
        assert [judge(b"bad") for _ in range(DEATHS + 1)] == [None] * (DEATHS + 1)
    assert len(lines) == DEATHS and "did not judge" in lines[0] and "given up" in lines[-1]


def test_why_there_is_no_gate() -> None:
    spec = load_spec(find("robots", "racer"))
    assert unavailable(spec, "oval") is None
    assert "no world" in (unavailable(spec, "car-park") or "")
    assert "has no twin" in (unavailable(msgspec.structs.replace(spec, twin=""), "oval") or "")


@pytest.mark.slow
def test_the_process_judges_in_the_twin_of_a_session(tmp_path: Path) -> None:
    session = create_session("racer", "oval", role="practice", runs=tmp_path, twin=True, fast=True)
    lines: list[str] = []
    with SmokeProcess(session.directory, lines.append, patience_s=None) as judge:
        assert "unsafe" in (judge(b"no policy") or "")
    assert lines == []
