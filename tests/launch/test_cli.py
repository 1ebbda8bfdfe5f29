"""Mistakes end in one clear line and the right exit code; help explains itself with an example."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sandlot
from launch import cli
from launch.catalogue import find
from launch.options.practice import PracticeOptions
from robot.errors import SandlotError, SpecError

ROOT = Path(sandlot.__file__).resolve().parent


def fails(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    return int(ended.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*name.split(), "--help"])
    assert not ended.value.code
    assert f"Example: sandlot {name}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("group", ["", "bench", "data", "experiment"])
def test_a_list_of_commands_has_an_example_of_one_of_them(group: str) -> None:
    assert f"Example: sandlot {group}".rstrip() in cli.usage(group)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_summed_up_in_a_sentence(name: str) -> None:
    assert cli.COMMANDS[name].summary.endswith((".", "?"))


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_exists(name: str) -> None:
    assert callable(cli.COMMANDS[name].load())


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("practise",), 2, "did you mean practice"),
        (("bench", "lop"), 2, "did you mean bench loop"),
        (("practice", "--minuts", "3"), 2, "--minutes"),
        (("practice", "racr", "--runs", "{tmp}"), 1, "did you mean racer?"),
        (("practice", "racer", "--course", "ovall", "--runs", "{tmp}"), 1, "did you mean oval?"),
        (("practice", "racer", "--course", "/no/such.toml", "--runs", "{tmp}"), 1, "no file /no/such.toml"),
        (("practice", "--fast", "--hardware", "--runs", "{tmp}"), 1, "cannot drive hardware"),
        (("practice", "--policy", "/no/policy.onnx", "--runs", "{tmp}"), 1, "/no/policy.onnx"),
        (("report", "{tmp}"), 1, "is not a run's folder"),
        (("learner", "--minutes", "0", "--runs", "{tmp}"), 1, "--minutes 0: expected more than 0"),
        (("learner", "--resume", "{tmp}", "--runs", "{tmp}"), 1, "a robot's run that learned, for"),
        (("learner", "--seed", "-1", "--runs", "{tmp}"), 2, "--seed -1: at least 0"),
        (("experiment", "avtd", "--csv", "{tmp}/a.csv", "--seeds"), 2, "at least one, each at least 0"),
        (("learner", "--bind", "10.1.2.3:5588", "--runs", "{tmp}"), 1, "both ends need keys"),
        (("onboard", "--learner", "10.1.2.3:5588", "--runs", "{tmp}"), 1, "both ends need keys"),
        (("onboard", "--attended", "--runs", "{tmp}"), 1, "beside the twin"),
        (("practice", "--attended", "--fast", "--runs", "{tmp}"), 1, "beside the twin"),
        (("practice", "--redraw", "20", "--runs", "{tmp}"), 1, "it needs --fast"),
        (
            ("practice", "--redraw", "20", "--fast", "--surrogate", "worn", "--runs", "{tmp}"),
            1,
            "no --surrogate",
        ),
        (("practice", "--redraw", "-1", "--fast", "--runs", "{tmp}"), 1, "--redraw -1"),
        (("deploy",), 1, "sandlot bundle makes them"),
        (("deploy", "--list", "--rollback"), 1, "one at a time"),
        (("deploy", "/no/such.bundle", "--deployed", "{tmp}"), 1, "cannot read /no/such.bundle"),
        (("run", "--fast", "--runs", "{tmp}"), 1, "add --twin"),
        (("run", "--deployed", "{tmp}", "--runs", "{tmp}"), 1, "no policy is deployed for racer"),
        (("run", "--policy", "a.bundle", "--runs", "{tmp}"), 1, "sandlot deploy"),
        (("bundle", "x", "--report", "y", "--key", "lab", "--keys", "{tmp}"), 1, "sandlot keys signing lab"),
        (("onboard", "--learner", "nonsense", "--runs", "{tmp}"), 1, "expected HOST:PORT"),
    ],
)
def test_a_mistake_is_one_clear_line(
    words: tuple[str, ...], code: int, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, error = fails(capsys, *(word.replace("{tmp}", str(tmp_path)) for word in words))
    assert found == code
    assert expected in error and "Traceback" not in error
    if code == 1:
        assert len(error.strip().splitlines()) == 1
    assert not any(tmp_path.rglob("manifest.toml")), "a run was begun although it could not be"


def test_debug_adds_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, error = fails(capsys, "report", str(tmp_path), "--debug")
    assert code == 1 and "Traceback" in error


def test_a_mistake_of_ours_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(command: cli.Command) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(cli.Command, "load", broken)
    code, error = fails(capsys, "report")
    assert code == 1 and "ZeroDivisionError: division by zero" in error and "--debug" in error
    assert len(error.strip().splitlines()) == 1


def test_a_missing_extra_is_named() -> None:
    assert "pip install '.[learn]'" in cli.missing(
        ModuleNotFoundError("No module named 'torch'", name="torch")
    )
    assert "pip install '.[twin]'" in cli.missing(ModuleNotFoundError("…", name="mujoco._structs"))


def test_options_of_practice_parse_as_the_readme_says() -> None:
    words = ["practice", "racer", "--course", "oval", "--minutes", "5", "--seed", "1", "--fast"]
    parsed = cli.parse(words)
    assert parsed is not None
    made = parsed[1]
    assert made == PracticeOptions(robot="racer", course="oval", minutes=5.0, seed=1, fast=True)


def test_catalogue_names_the_nearest() -> None:
    with pytest.raises(SpecError, match="did you mean racer"):
        find("robots", "racecar")
    assert tomllib.loads(find("worlds", "oval").read_text())["name"] == "oval"


def test_each_import_resolves_inside_this_project() -> None:
    assert sandlot.shadowed() == {}


@pytest.mark.slow
def test_a_shadowed_package_is_named_with_what_to_do(tmp_path: Path) -> None:
    """As after sourcing ROS: another ``launch`` is ahead on PYTHONPATH."""
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "__init__.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "sandlot", "--help"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert str(tmp_path / "launch") in done.stderr and "env -u PYTHONPATH sandlot" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("words", ["practice --help", "--help", "bench learner --help"])
def test_a_reader_that_has_seen_enough_is_no_error(words: str) -> None:
    command = f"{sys.executable} -P -m sandlot {words} | head -c 10"
    found = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, check=True)
    assert (len(found.stdout), found.stderr) == (10, b"")


@pytest.mark.slow
def test_help_and_mistakes_import_nothing_heavy() -> None:
    code = (
        "import sys\nfrom launch.cli import parse\nparse(['practice', '--seed', '1'])\n"
        "print(sorted({'torch', 'mujoco', 'onnxruntime', 'matplotlib', 'zmq', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_numbers_are_finite(value: str) -> None:
    with pytest.raises(cli.UsageError, match=r"--redraw .*: a finite number was expected"):
        cli.parse(["practice", "--fast", "--redraw", value])


def test_unknown_command_error_is_a_sandlot_error() -> None:
    assert issubclass(cli.UsageError, SandlotError)
