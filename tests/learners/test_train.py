"""The learner's process: SIGTERM leaves a checkpoint, and a slow gate does not stop it from answering."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from counting_learner import CountingLearner
from small_session import CALIBRATION, CONTRACT, KEY, make_rows

from learners.engine import compiled
from learners.journal import Journal
from learners.publisher import Trial
from learners.server import LearnerServer, ServerConfig
from learners.train import serve
from robot.clock import MonotonicClock
from robot.direct_link import direct_link_pair
from robot.messages import SCHEMA_VERSION, Hello, Welcome
from robot.transport import RobotLink
from robot.wire import decode_from_learner, encode, encode_steps

DOUBLES = Path(__file__).parents[1] / "doubles"
WITHIN_S = 60.0
SERVE = """
import sys
from pathlib import Path
from small_session import CALIBRATION, CONTRACT, KEY
from learners.config import LearnerConfig
from learners.server import ServerConfig
from learners.train import serve
from robot.transport import LearnerLink

link = LearnerLink("tcp://127.0.0.1:*", "tcp://127.0.0.1:*")
print(*link.endpoints, flush=True)
config = LearnerConfig(hidden=(16,), batch=16, warmup=20, updates_per_step=1)
settings = ServerConfig(checkpoint_s=1e6, pretrain=0)  # none but the last
where = Path(sys.argv[1])
serve(link, CONTRACT, where, KEY, config=config, server_config=settings, calibration_hash=CALIBRATION)
"""
HELLO = Hello(
    schema=SCHEMA_VERSION,
    robot="racer",
    session="s",
    contract=CONTRACT.plain(),
    calibration_hash=CALIBRATION,
    first_sequence=0,
)


def answer(link: RobotLink, frames: list[bytes], wanted: type) -> object:
    """Send until something of that kind comes back."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        link.send(frames)
        link.wait(0.1)
        for received in link.receive():
            message = decode_from_learner(received)
            if isinstance(message, wanted):
                return message
    raise AssertionError(f"no {wanted.__name__} within {WITHIN_S} s")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_a_checkpoint_and_the_next_process_goes_on_from_it(
    tmp_path: Path, number: signal.Signals
) -> None:
    environment = os.environ | {"PYTHONPATH": str(DOUBLES), "OMP_NUM_THREADS": "1"}
    expected = 0
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, tmp_path], env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            steps, policies = process.stdout.readline().split()
            link = RobotLink(steps, policies)
            welcome = answer(link, encode(HELLO), Welcome)
            assert isinstance(welcome, Welcome)
            assert welcome.next_sequence == expected
            link.send(encode_steps("s", expected, make_rows(expected, 30)))
            expected += 30
            deadline = time.monotonic() + WITHIN_S
            while link.policy() is None:
                assert time.monotonic() < deadline, "no policy was published"
                link.wait(0.1)
            process.send_signal(number)
            assert process.wait(WITHIN_S) == 0
            link.close()
        finally:
            process.kill()
            process.wait()
        assert list((tmp_path / "checkpoints").glob("*.checkpoint"))


def test_without_a_compiler_the_learner_says_that_it_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "COMPILERS", ())
    told: list[str] = []
    _, far = direct_link_pair()
    serve(far, CONTRACT, tmp_path, KEY, stop=lambda: True, tell=told.append)
    assert [line for line in told if "install g++" in line] == told[:1]


def test_a_gate_in_the_background_holds_up_nothing_but_its_candidate(tmp_path: Path) -> None:
    let_go = threading.Event()

    def gate(onnx: bytes, published: bytes | None) -> str | None:
        assert let_go.wait(WITHIN_S)
        return None

    robot, far = direct_link_pair()
    learner = CountingLearner(CONTRACT, CALIBRATION)
    journal = Journal(tmp_path / "j", CONTRACT.step_dtype())
    config = ServerConfig(pretrain=0)
    server = LearnerServer(far, learner, journal, tmp_path, MonotonicClock(), KEY, config, trial=Trial(gate))
    robot.send(encode(HELLO))
    for first in range(0, 50, 5):
        robot.send(encode_steps("s", first, make_rows(first, 5)))
        server.pump()
    assert learner.done > 0
    assert learner.pacing.received == 50
    assert robot.policy() is None
    let_go.set()
    deadline = time.monotonic() + WITHIN_S
    while server.version == 0:
        assert time.monotonic() < deadline, "the candidate was never decided"
        server.pump()
    assert robot.policy() is not None
    server.close()
