"""A recorded drive's commands in the pilot's place once more: on the same twin it is the same drive."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scripted_session import SETTLED_S, drive

from launch.catalogue import find
from launch.cli import parse
from launch.replay.repetition import repetition
from launch.replay.stretch import choose, stretches
from launch.session import Session
from robot.board import Board
from robot.clock import SimulatedClock
from robot.errors import SandlotError
from robot.log_reader import read_log
from robot.messages import Actor, PilotPhase, SafetyState, state_dtype
from robot.player import CommandTape, Player
from robot.spec import load_spec

pytestmark = pytest.mark.slow
SPEC = load_spec(find("robots", "racer"))
STEPS = [
    {"at_s": 0.0, "held": False},
    {"at_s": SETTLED_S, "axes": {"speed": 0.5}},
    {"at_s": SETTLED_S + 1.5, "axes": {"speed": 0.5, "steering": 0.3}},
    {"at_s": SETTLED_S + 2.2, "axes": {"speed": 0.3, "steering": -0.5}},
    {"at_s": SETTLED_S + 3.0, "held": False},
]


def replay(*words: str) -> int:
    parsed = parse(["replay", *words])
    assert parsed is not None
    return parsed[0].load()(parsed[1])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return drive(tmp_path_factory.mktemp("recorded"), STEPS, 0.15)


def test_the_same_commands_on_the_same_twin_are_the_same_drive(
    recorded: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = str(recorded.directory)
    assert replay(log, "--on", "racer", "--fast", "--json", "--runs", str(tmp_path), "--view", "none") == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["whole"] and told["seconds"] > 4.0 and told["command_jitter_s"] <= 0.011
    moved, away = (told["signals"]["position_world_x"][key] for key in ("swing", "max"))
    assert moved > 0.5 and away < 0.05, "the drive is the same but for the noise"
    again = read_log(Path(told["run"])).ticks
    first = stretches(SPEC, read_log(recorded.directory).ticks)
    tape = choose(first, None).tape()
    played = again[again["actor"] == Actor.SCRIPT]["command"]
    assert (np.unique(played["setpoint"], axis=0) == np.unique(tape.setpoints, axis=0)).all()
    assert (Path(told["run"]) / "replay.png").read_bytes()[:4] == b"\x89PNG"


def test_a_drive_compared_with_itself_differs_by_nothing_and_with_a_shifted_one_by_the_shift(
    recorded: Session,
) -> None:
    ticks = choose(stretches(SPEC, read_log(recorded.directory).ticks), None).ticks
    again = ticks.copy()
    began = ticks["command"]["time_ns"] >= ticks["time_ns"][0]
    again["actor"] = np.where(began, Actor.SCRIPT, Actor.NOBODY)
    for field in ("time_ns", "due_ns"):
        again[field] += 12_345
    again["command"]["time_ns"] += 12_345
    for sensor in SPEC.sensors:
        again["measured"][sensor.name]["time_ns"] += 12_345
    heading = SPEC.state_layout.index("heading")
    same = repetition(SPEC, ticks, again)
    assert max(s.most for s in same.signals if s.known) == pytest.approx(0.0, abs=1e-9)
    again["state"][:, 0] += 0.25
    again["state"][:, heading] = np.remainder(again["state"][:, heading], 2 * np.pi)
    shifted = repetition(SPEC, ticks, again)
    assert shifted.signals[0].rms == pytest.approx(0.25) == shifted.signals[0].most
    turned = shifted.signals[heading].difference
    assert np.nanmax(turned) - np.nanmin(turned) == pytest.approx(0.0, abs=1e-9)


def test_what_cannot_be_repeated_is_refused(recorded: Session, tmp_path: Path) -> None:
    log = str(recorded.directory)
    with pytest.raises(SandlotError, match="--stretch 7: the log has 0: "):
        replay(log, "--on", "racer", "--fast", "--stretch", "7", "--runs", str(tmp_path))
    other = tmp_path / "other.toml"
    other.write_text(find("robots", "racer").read_text().replace("upper = 5.0", "upper = 4.9", 1))
    with pytest.raises(SandlotError, match="another robot than the one that was recorded"):
        replay(log, "--on", str(other), "--fast", "--runs", str(tmp_path))
    with pytest.raises(SandlotError, match="--safety, --twin, or --on"):
        replay(log, "--on", "racer", "--safety")


class Desk:
    """A player, and a guardian's state that a test sets."""

    def __init__(self, folder: Path) -> None:
        from small_session import CONTRACT

        self.board = Board(folder / "board", SPEC, CONTRACT, create=True)
        self.clock = SimulatedClock(10**9)
        self.tape = CommandTape(
            np.array([0, 50, 100]) * 1_000_000, np.array([[1.0, 0], [1, 0.1], [0.5, 0]]), (1, 2, 0)
        )
        self.player = Player(SPEC, self.tape, self.board, self.clock)
        self.state = np.zeros(1, state_dtype(SPEC))
        self.state["safety_state"], self.state["converged"] = SafetyState.ACTIVE, True
        self.state["state"][0, :2] = self.tape.start[:2]

    def run(self, seconds: float) -> list[list[float]]:
        """Setpoints of every command that was sent meanwhile, those of nobody left out."""
        sent, known = [], self.board.command.sequence
        for _ in range(round(seconds * 100)):
            self.clock.sleep_until(self.clock.now_ns() + 10_000_000)
            self.state["time_ns"] = self.clock.now_ns()
            self.board.state.write(self.state)
            self.player.step(self.clock.now_ns())
            record = self.board.command.read()
            if record is not None and self.board.command.sequence != known and record["actor"][0]:
                sent.append(record["setpoint"][0].tolist())
            known = self.board.command.sequence
        return sent

    @property
    def phase(self) -> PilotPhase:
        record = self.board.pilot.read()
        assert record is not None
        return PilotPhase(int(record["phase"][0]))


def test_a_player_waits_at_its_start_and_ends_when_the_guardian_does(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.state["state"][0, 0] = 1.5
    desk.state["safety_state"] = SafetyState.HOLD
    assert desk.run(0.2) == [] and desk.board.command.sequence > 0, "a robot in HOLD waits for a command"
    desk.state["safety_state"] = SafetyState.ACTIVE
    assert desk.run(2.0) == [] and desk.phase == PilotPhase.WAITING, "it stands somewhere else"
    desk.state["state"][0, 0] = 1.1
    assert desk.run(1.4) == []
    assert desk.run(0.2)[:1] == [[1.0, 0.0]]
    desk.state["safety_state"] = SafetyState.HOLD
    assert desk.run(0.5) == [] and desk.phase == PilotPhase.FINISHED
    desk.state["safety_state"] = SafetyState.ACTIVE
    assert desk.run(1.0) == [], "what follows was meant for another place"
    again = Player(SPEC, desk.tape, desk.board, desk.clock)
    desk.player = again
    assert desk.run(2.5) == [] and desk.phase == PilotPhase.FINISHED, "nor does one that is started again"


def test_every_command_is_sent_in_order_and_then_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    sent = desk.run(3.0)
    assert [s for k, s in enumerate(sent) if k == 0 or sent[k - 1] != s] == desk.tape.setpoints.tolist()
    assert desk.phase == PilotPhase.FINISHED
