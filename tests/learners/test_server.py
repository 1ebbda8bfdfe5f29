"""The learner's server: who is welcome, what is published when, and that a restart changes nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from counting_learner import CountingLearner
from small_session import CALIBRATION, CONTRACT, KEY, make_rows

from learners.config import LearnerConfig
from learners.journal import Journal
from learners.learner import Learner
from learners.publisher import Trial
from learners.server import LearnerServer, ServerConfig
from robot.clock import SimulatedClock
from robot.direct_link import DirectRobotLink, direct_link_pair
from robot.messages import SCHEMA_VERSION, Acknowledgement, Hello, Refusal, Welcome
from robot.wire import decode_from_learner, decode_policy, encode, encode_steps, verify_policy


def hello(**changes: Any) -> Hello:
    fields: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "robot": "racer",
        "session": "s",
        "contract": CONTRACT.plain(),
        "calibration_hash": CALIBRATION,
        "first_sequence": 0,
    }
    return Hello(**(fields | changes))


class Bench:
    """A server with a scripted robot."""

    def __init__(
        self,
        directory: Path,
        config: ServerConfig | None = None,
        trial: Trial | None = None,
        learner: Any = None,
        key: bytes = KEY,
    ) -> None:
        config = config or ServerConfig(pretrain=0)
        self.clock = SimulatedClock(10**9)
        self.robot: DirectRobotLink
        self.robot, far = direct_link_pair()
        self.learner = learner or CountingLearner(CONTRACT, CALIBRATION)
        self.lines: list[str] = []
        journal = Journal(directory / "rows.journal", CONTRACT.step_dtype())
        self.server = LearnerServer(
            far,
            self.learner,
            journal,
            directory,
            self.clock,
            key,
            config,
            trial=trial,
            tell=self.lines.append,
        )

    def ask(self, frames: list[bytes]) -> list[Any]:
        self.robot.send(frames)
        self.server.pump()
        return [decode_from_learner(frames) for frames in self.robot.receive()]

    def greet(self, **changes: Any) -> Welcome | Refusal:
        answers = self.ask(encode(hello(**changes)))
        return next(a for a in answers if isinstance(a, Welcome | Refusal))

    def give(self, first: int, count: int, session: str = "s") -> Acknowledgement | None:
        answers = self.ask(encode_steps(session, first, make_rows(first, count)))
        return next((a for a in answers[::-1] if isinstance(a, Acknowledgement)), None)

    def later(self, seconds: float) -> None:
        self.clock.sleep_until(self.clock.now_ns() + round(seconds * 1e9))
        self.server.pump()


def test_a_session_starts_where_the_learner_stands(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.greet() == Welcome(schema=SCHEMA_VERSION, next_sequence=0)
    bench.give(0, 10)
    assert bench.greet() == Welcome(schema=SCHEMA_VERSION, next_sequence=10)
    assert bench.greet(session="t") == Welcome(schema=SCHEMA_VERSION, next_sequence=0)
    assert bench.greet(session="u", first_sequence=7) == Welcome(schema=SCHEMA_VERSION, next_sequence=7)
    assert bench.server.counts["lost"] == 7


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"contract": CONTRACT.plain() | {"task": "other"}}, "task: ours 'small', theirs 'other'"),
        ({"contract": {}}, "only ours has it"),
        ({"session": ""}, "session name"),
        ({"session": "x" * 100}, "session name"),
        ({"session": "a\nb"}, "session name"),
        ({"first_sequence": -1}, "first_sequence is -1; expected 0 to"),
    ],
)
def test_a_refusal_says_why(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    bench = Bench(tmp_path)
    answer = bench.greet(**changes)
    assert isinstance(answer, Refusal)
    assert reason in answer.reason
    assert bench.give(0, 5) is None
    assert bench.learner.pacing.received == 0


def test_rows_count_once_whatever_order_they_come_in(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.greet()
    for first, count in ((0, 5), (0, 5), (3, 6), (20, 4), (9, 1), (2, 3), (10, 2), (8, 4)):
        bench.give(first, count)
    assert (bench.learner.rows("s") == make_rows(0, 12)).all()
    assert bench.server.counts["out_of_order"] == 4
    assert bench.server.counts["rows"] == 12


def test_rows_from_strangers_or_in_anothers_name_are_not_taken(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.give(0, 5) is None
    bench.greet(session="mine")
    assert bench.give(0, 5, session="theirs") is None
    assert bench.learner.pacing.received == 0
    assert bench.server.counts["strangers"] == 2


def test_durable_is_acknowledged_only_after_a_sync(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ServerConfig(pretrain=0, sync_s=10.0))
    bench.greet()
    ack = bench.give(0, 5)
    assert ack is not None
    assert (ack.received, ack.durable) == (5, 0)
    bench.later(10.0)
    ack = bench.give(5, 1)
    assert ack is not None
    assert (ack.received, ack.durable) == (6, 5)


def test_a_robot_that_has_gone_is_forgotten_and_welcome_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path)
    bench.greet()
    bench.give(0, 3)
    tried: list[bytes] = []
    with monkeypatch.context() as patch:
        patch.setattr(bench.server._link, "send", lambda identity, frames: tried.append(identity))
        for _ in range(80):
            bench.later(0.5)
    assert len(tried) < 70, "nobody is asked for ever"
    answer = bench.greet()
    assert isinstance(answer, Welcome) and answer.next_sequence == 3


def test_rubbish_is_counted_and_answered_with_a_reason(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    answers = bench.ask([b"rubbish"])
    assert isinstance(answers[0], Refusal)
    header, data = encode_steps("s", 0, make_rows(0, 3))
    bench.greet()
    assert bench.ask([header, data[:-1] + b"?"]) == []
    assert bench.ask([header]) == []
    assert bench.server.counts["bad_messages"] == 3
    assert bench.learner.pacing.received == 0


def test_nothing_is_published_before_pretraining_is_done(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path, ServerConfig(pretrain=50), learner=CountingLearner(CONTRACT, CALIBRATION, warmup=20)
    )
    bench.greet()
    bench.give(0, 10)
    bench.later(5.0)
    assert bench.robot.policy() is None
    assert bench.learner.calls == []
    bench.give(10, 20)
    bench.later(5.0)
    frame = bench.robot.policy()
    assert frame is not None
    assert bench.learner.calls.index("export") > 49
    assert bench.learner.calls[:50] == ["pretrain"] * 50
    assert bench.learner.pretrained == 50


def test_a_published_policy_is_signed_and_says_what_it_is_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.greet()
    bench.give(0, 5)
    frame = bench.robot.policy()
    assert frame is not None
    policy = decode_policy(frame)
    verify_policy(KEY, policy)
    assert (policy.version, policy.contract_hash, policy.calibration_hash) == (
        1,
        CONTRACT.hash(),
        CALIBRATION,
    )
    assert policy.onnx == b"onnx 1 5"


def test_policies_come_at_most_so_often_and_only_when_something_was_learned(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ServerConfig(pretrain=0, publish_s=2.0))
    bench.greet()
    for k in range(40):  # 10 s with data, 10 s without
        if k < 20:
            bench.give(k, 1)
        bench.later(0.5)
    assert 5 <= bench.server.version <= 7


@pytest.mark.parametrize("reason", [None, "it leaves the track"])
def test_the_gate_decides_what_is_published(tmp_path: Path, reason: str | None) -> None:
    seen: list[tuple[bytes, bytes | None]] = []

    def gate(onnx: bytes, published: bytes | None) -> str | None:
        seen.append((onnx, published))
        return reason

    bench = Bench(tmp_path, trial=Trial(gate, 0.0))
    bench.greet()
    bench.give(0, 5)
    assert bench.robot.policy() is None
    bench.server.pump()
    assert seen == [(b"onnx 1 5", None)]
    assert (bench.robot.policy() is None) == (reason is not None)
    assert bench.server.version == (0 if reason else 1)
    if reason:
        assert any(reason in line for line in bench.lines)


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
def test_on_simulated_time_a_verdict_counts_when_it_is_due_however_long_it_took(
    tmp_path: Path, pause_s: float
) -> None:
    seen: list[bytes] = []

    def gate(onnx: bytes, published: bytes | None) -> str | None:
        time.sleep(pause_s)
        seen.append(onnx)
        return "it leaves the track" if len(seen) == 2 else None

    bench = Bench(tmp_path, ServerConfig(pretrain=0, publish_s=1.0), trial=Trial(gate, 1.0))
    bench.greet()
    published = []
    for k in range(20):
        ack = bench.give(k, 1)
        bench.later(0.25)
        published.append((bench.server.version, bench.server.counts["gate_refused"]))
    assert ack is not None
    assert published == [(0, 0)] * 3 + [(1, 0)] * 4 + [(1, 1)] * 4 + [(2, 1)] * 4 + [(3, 1)] * 4 + [(4, 1)]
    assert ack.policies_held == 1 and ack.held_back == ""
    bench.server.close()


def test_a_candidate_meets_what_is_published_in_a_run_that_goes_on_too(tmp_path: Path) -> None:
    """Such a run has a key of its own, under which its robot gets the policy that was published last."""
    seen: list[bytes | None] = []

    def gate(onnx: bytes, published: bytes | None) -> str | None:
        seen.append(published)
        return None if published is None else "it is worse"

    def practised(first: int, key: bytes) -> Bench:
        bench = Bench(tmp_path, trial=Trial(gate, 0.0), key=key)
        bench.greet()
        for k in range(first, first + 2):
            bench.give(k, 1)
            bench.later(2.0)
        bench.server.close()
        return bench

    practised(0, KEY)
    frame = practised(2, bytes(32)).robot.policy()
    assert frame is not None
    newest = decode_policy(frame)
    verify_policy(bytes(32), newest)
    assert seen[0] is None and set(seen[1:]) == {newest.onnx} and newest.version == 1


def test_only_a_new_learner_begins_with_what_another_has_learned(tmp_path: Path) -> None:
    config = ServerConfig(pretrain=0, initial="runs/iql")
    bench = Bench(tmp_path, config)
    assert bench.learner.calls == ["begin with runs/iql"]
    bench.server.close()
    assert Bench(tmp_path, config).learner.calls == []


def test_a_version_is_never_used_twice_even_if_the_checkpoint_is_older(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ServerConfig(pretrain=0, publish_s=1.0, checkpoint_s=1e6))
    bench.greet()
    for k in range(20):
        bench.give(k, 1)
        bench.later(1.0)
    reached = bench.server.version
    assert reached > 5
    again = Bench(tmp_path)  # killed: no checkpoint was ever written
    assert again.server.version == reached
    again.greet()
    frame = again.robot.policy()
    assert frame is not None
    assert decode_policy(frame).version >= reached


def test_a_killed_learner_has_every_row_and_goes_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ServerConfig(pretrain=0, checkpoint_s=1.0))
    bench.greet()
    bench.give(0, 30)
    bench.later(2.0)  # checkpoint
    bench.give(30, 12)
    again = Bench(tmp_path)
    assert (again.learner.rows("s") == make_rows(0, 42)).all()
    assert again.learner.done == 30
    assert again.greet() == Welcome(schema=SCHEMA_VERSION, next_sequence=42)
    again.server.pump()
    assert again.learner.done == 42


def test_a_restarted_learner_equals_one_that_never_stopped(tmp_path: Path) -> None:
    config = LearnerConfig(hidden=(16,), batch=16, warmup=20, updates_per_step=2)

    def run(directory: Path, stops: int) -> bytes:
        first = 0
        for _ in range(stops + 1):
            bench = Bench(directory, learner=Learner(CONTRACT, config, 0, CALIBRATION))
            bench.greet()
            for _ in range(60 // (stops + 1)):
                bench.give(first, 1)
                first += 1
            bench.server.close()
        assert bench.learner.updates == 2 * (first - int(make_rows(0, first)["last"].sum()) - 20)
        exported: bytes = bench.learner.export(1)
        return exported

    assert run(tmp_path / "never", 0) == run(tmp_path / "twice", 2)
