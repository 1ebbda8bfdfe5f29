"""Processes are started in order, restarted after a bounded delay, and ended whatever they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch.supervisor import SUPERVISOR, Backoff, Plan, ProcessError, Supervisor, python_command
from robot.clock import MonotonicClock

QUICK = Backoff(first_s=0.05, most_s=0.2, healthy_s=30.0, tries=3)


def script(body: str) -> tuple[str, ...]:
    return (sys.executable, "-S", "-c", body)


def sleeper(log: Path, name: str, at_end: str = "") -> tuple[str, ...]:
    """Appends "+name" when it runs and "-name" when it ends by SIGTERM."""
    return script(
        "import signal, sys, time\n"
        f"def say(t):\n    open({str(log)!r}, 'a').write(t + '\\n')\n"
        f"def end(*_):\n    {at_end or 'pass'}\n    say('-{name}'); sys.exit(0)\n"
        f"signal.signal(signal.SIGTERM, end)\nsay('+{name}')\nwhile True: time.sleep(0.02)"
    )


def lines(log: Path) -> list[str]:
    return log.read_text().split() if log.exists() else []


def supervisor(tmp_path: Path, *plans: Plan, backoff: Backoff = QUICK) -> tuple[Supervisor, list[str]]:
    notes: list[str] = []
    made = Supervisor(
        plans,
        tmp_path / "output",
        MonotonicClock(),
        lambda t, name, what: notes.append(f"{name} {what}"),
        backoff,
    )
    return made, notes


def until(condition, seconds: float = 20.0) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_delay_doubles_up_to_its_bound() -> None:
    delays = [Backoff(0.25, 8.0).delay_s(n) for n in range(1, 9)]
    assert delays == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


@pytest.mark.slow
def test_start_waits_for_each_process_to_be_ready(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first = Plan("first", sleeper(log, "first"), ready=lambda: "+first" in lines(log))
    second = Plan("second", sleeper(log, "second"), ready=lambda: "+second" in lines(log))
    made, _ = supervisor(tmp_path, first, second)
    try:
        made.start()
        assert lines(log) == ["+first", "+second"]
    finally:
        made.stop(["second", "first"])
    assert lines(log) == ["+first", "+second", "-second", "-first"]


@pytest.mark.slow
def test_each_process_has_a_session_of_its_own(tmp_path: Path) -> None:
    made, _ = supervisor(tmp_path, Plan("one", sleeper(tmp_path / "log", "one")))
    try:
        made.start()
        process = made.children["one"].process
        assert process is not None
        assert os.getsid(process.pid) == process.pid != os.getsid(0)
    finally:
        made.stop(["one"])


@pytest.mark.slow
def test_process_that_ends_while_starting_is_named_with_its_last_words(tmp_path: Path) -> None:
    made, _ = supervisor(
        tmp_path,
        Plan("guardian", script("print('port /dev/x is busy'); raise SystemExit(1)"), ready=lambda: False),
    )
    with pytest.raises(ProcessError, match="guardian ended while starting: port /dev/x is busy"):
        made.start()


@pytest.mark.slow
def test_killed_process_is_started_again_and_counted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    made, notes = supervisor(tmp_path, Plan("pilot", sleeper(log, "pilot")))
    try:
        made.start()
        until(lambda: "+pilot" in lines(log))
        process = made.children["pilot"].process
        assert process is not None
        process.kill()
        until(lambda: made.poll() is None and lines(log).count("+pilot") == 2)
        assert made.restarts() == {"pilot": 1}
        assert any("killed by SIGKILL" in note for note in notes)
    finally:
        made.stop(["pilot"])


@pytest.mark.slow
def test_process_that_dies_again_and_again_is_given_up(tmp_path: Path) -> None:
    made, _ = supervisor(tmp_path, Plan("courier", script("raise SystemExit(7)")))
    made.start()

    def gives_up() -> bool:
        try:
            made.poll()
        except ProcessError as error:
            assert "courier died 4 times in a row" in str(error)
            return True
        return False

    until(gives_up)
    assert made.restarts() == {"courier": QUICK.tries}


@pytest.mark.slow
def test_misconfigured_process_is_not_started_again(tmp_path: Path) -> None:
    made, _ = supervisor(tmp_path, Plan("learner", script("print('contract differs'); raise SystemExit(2)")))
    made.start()
    process = made.children["learner"].process
    assert process is not None
    process.wait(20)
    with pytest.raises(ProcessError, match="learner refused to run: contract differs"):
        made.poll()
    assert made.restarts() == {"learner": 0}


@pytest.mark.slow
def test_process_that_ignores_the_request_is_killed_with_what_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "grandchild"
    body = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pid_file)!r}, 'w').write(str(child.pid))\n"
        "while True: time.sleep(0.1)"
    )
    made, notes = supervisor(
        tmp_path,
        Plan(
            "emulator",
            script(body),
            ready=lambda: pid_file.exists() and pid_file.read_text() != "",
            stop_s=0.3,
        ),
    )
    made.start()
    grandchild = int(pid_file.read_text())
    made.stop(["emulator"])
    process = made.children["emulator"].process
    assert process is not None and process.returncode == -signal.SIGKILL
    assert any("was killed" in note for note in notes)

    def gone() -> bool:
        try:
            state = Path(f"/proc/{grandchild}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        return state == "Z"

    until(gone)


@pytest.mark.slow
def test_a_stopped_process_stays_stopped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    made, _ = supervisor(tmp_path, Plan("pilot", sleeper(log, "pilot"), ready=lambda: "+pilot" in lines(log)))
    made.start()
    made.stop(["pilot"])
    time.sleep(3 * QUICK.first_s)
    made.poll()
    assert lines(log) == ["+pilot", "-pilot"]


def test_a_process_whose_supervisor_is_already_gone_never_begins(tmp_path: Path) -> None:
    command = python_command("launch.processes", "guardian", "--session", str(tmp_path))
    for parent, begins in ((os.getpid(), True), (2**22 + 1, False)):
        environment = {**os.environ, SUPERVISOR: str(parent)}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 1
        assert ("not a run's folder" in done.stderr) == begins
