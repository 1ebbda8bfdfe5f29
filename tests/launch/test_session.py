"""A run's folder holds everything its processes need, exactly as it was resolved."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from launch.catalogue import find
from launch.clearance import begun_with
from launch.manifest import Setup, load_manifest, without_none
from launch.parts import make_policies
from launch.session import create_session, on_twin, open_session
from learners.lagrangian import Multipliers, parse_constraint
from learners.range_growth import parse_growth
from robot.clock import SimulatedClock
from robot.errors import SandlotError, SpecError
from robot.spec import load_spec


def test_a_session_read_back_is_the_session_that_was_made(tmp_path: Path) -> None:
    setup = Setup(address="127.0.0.1:7000", update_ratio=8, demonstration_laps=1)
    made = create_session(
        "racer", "oval", role="practice", runs=tmp_path, twin=True, seed=3, minutes=1.5, setup=setup
    )
    read = open_session(made.directory)
    assert read.manifest == made.manifest
    assert read.spec == made.spec and read.contract == made.contract
    assert read.course.file == made.course.file
    assert read.manifest.setup == setup
    assert read.manifest.contract_hash == read.contract.hash()
    assert read.manifest.calibration_hash == load_spec(find("robots", "racer")).calibration_hash()


def test_a_constraint_is_of_a_cost_that_the_task_measures(tmp_path: Path) -> None:
    limit = parse_constraint("impact<=0.5/step")
    made = create_session(
        "racer", "oval", role="practice", runs=tmp_path, twin=True, setup=Setup(constraints=(limit,))
    )
    read = open_session(made.directory)
    assert read.learner_config().constraints == (limit,)
    assert Multipliers(read.contract, read.learner_config().constraints).columns == (0,)
    other = Setup(constraints=(parse_constraint("inpact<=0.5/step"),))
    with pytest.raises(SpecError, match="did you mean impact"):
        create_session("racer", "oval", role="practice", runs=tmp_path, twin=True, setup=other)


def test_the_action_range_grows_from_neutral_actions_that_the_robot_has(tmp_path: Path) -> None:
    growth = parse_growth(("0.3", "speed=0.4"))
    made = create_session(
        "racer", "oval", role="practice", runs=tmp_path, twin=True, setup=Setup(growth=growth)
    )
    read = open_session(made.directory)
    assert read.learner_config().growth == growth
    assert growth.neutral_actions(read.contract) == [-1.0, 0.0]
    other = Setup(growth=parse_growth(("0.3", "sped=0.4")))
    with pytest.raises(SpecError, match="did you mean speed"):
        create_session("racer", "oval", role="practice", runs=tmp_path, twin=True, setup=other)


def test_the_policy_that_a_session_begins_with_is_its_own_from_then_on(tmp_path: Path) -> None:
    """Its pilot may start again at any time, and takes what was there when the session was made."""
    named = tmp_path / "named.onnx"
    named.write_bytes(b"no policy, but ours")
    setup = Setup(policy=str(named))
    made = create_session("racer", "oval", role="practice", runs=tmp_path, twin=True, setup=setup)
    named.unlink()
    assert begun_with(open_session(made.directory)) == b"no policy, but ours"
    board = made.board(create=True)
    (refused,) = make_policies(made, board, SimulatedClock(1), background=False).messages()
    made.remove_board()
    assert refused.text.startswith("first.onnx is not a policy")


def test_latest_points_to_the_newest_run(tmp_path: Path) -> None:
    runs = [create_session("racer", "oval", role="practice", runs=tmp_path, twin=True) for _ in range(2)]
    assert runs[0].directory != runs[1].directory
    assert (tmp_path / "racer" / "latest").resolve() == runs[1].directory


@pytest.mark.parametrize("memory", [True, False])
def test_drivers_look_for_the_twin_where_the_emulator_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: bool
) -> None:
    monkeypatch.setattr("launch.session.SHARED_MEMORY", tmp_path if memory else tmp_path / "absent")
    made = create_session("racer", "oval", role="practice", runs=tmp_path / "runs", twin=True)
    assert [Path(device.port).parent for device in made.spec.devices] == 2 * [made.ports]
    assert made.ports.is_relative_to(made.directory) != memory


def test_the_twin_changes_neither_contract_nor_calibration() -> None:
    spec = load_spec(find("robots", "racer"))
    twin = on_twin(spec, Path("/dev/shm/somewhere"))
    assert twin.contract() == spec.contract()
    assert twin.calibration_hash() == spec.calibration_hash()
    assert twin.enable.source == "simulated_operator"
    assert all(device.port.startswith("/dev/shm/somewhere/") for device in twin.devices)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"minutes": -1.0}, "-1 minutes"),
        ({"setup": Setup(demonstration_laps=-2)}, "-2 demonstration laps"),
        ({"twin": False, "world": "oval"}, "--world oval is for the twin"),
        ({"setup": Setup(initial="/a", resume="/b")}, "leave one of them out"),
        ({"setup": Setup(held_out=2.0)}, "held_out must lie"),
        ({"setup": Setup(constraints=(parse_constraint("inpact<=1/step"),))}, "did you mean impact"),
    ],
)
def test_what_cannot_be_begun_leaves_no_folder(wrong: dict[str, Any], said: str, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"role": "practice", "runs": tmp_path / "runs", "twin": True}
    with pytest.raises(SandlotError, match=said):
        create_session("racer", "oval", **asked | wrong)
    assert not (tmp_path / "runs").exists()


def test_nobody_is_simulated_on_hardware(tmp_path: Path) -> None:
    text = find("robots", "racer").read_text().replace('source = "held_key"', 'source = "simulated_operator"')
    robot = tmp_path / "racer.toml"
    robot.write_text(text)
    with pytest.raises(SpecError, match="for the twin only"):
        create_session(str(robot), "oval", role="practice", runs=tmp_path / "runs", twin=False)
    assert not (tmp_path / "runs").exists()


def test_the_policy_key_is_secret_and_kept(tmp_path: Path) -> None:
    made = create_session("racer", "oval", role="practice", runs=tmp_path, twin=True)
    key = made.key()
    assert len(key) >= 32 and open_session(made.directory).key() == key
    assert stat.S_IMODE(made.key_file.stat().st_mode) == 0o600


def test_random_streams_are_independent_and_repeat(tmp_path: Path) -> None:
    made = create_session("racer", "oval", role="practice", runs=tmp_path, twin=True, seed=5)
    first, again = made.generator("pilot").random(4), made.generator("pilot").random(4)
    assert (first == again).all() and (first != made.generator("courier").random(4)).all()


def test_a_manifest_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    made = create_session("racer", "oval", role="practice", runs=tmp_path, twin=True)
    path = made.directory / "manifest.toml"
    path.write_text("sede = 3\n" + path.read_text())
    with pytest.raises(SandlotError, match="seed"):
        load_manifest(made.directory)


def test_none_is_left_out_of_toml() -> None:
    plain = msgspec.to_builtins({"a": None, "b": [1, {"c": None, "d": 2}]})
    assert without_none(plain) == {"b": [1, {"d": 2}]}
