"""The doctor names what is wrong and what mends it, and moves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launch.catalogue import find
from launch.doctor import doctor, examine
from launch.options.doctor import DoctorOptions
from launch.session import create_session


def by_check(options: DoctorOptions) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in examine(options):
        found.setdefault(finding.check, []).append(finding.status)
    return found


def test_the_twin_needs_no_ports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(DoctorOptions(twin=True, runs=tmp_path, json=True)) == 0
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert told["healthy"] is True
    checks = {finding["check"] for finding in told["findings"]}
    assert {"python", "packages", "contract", "ports", "real time", "clock", "disk", "enable"} <= checks


def test_an_absent_port_fails_with_what_to_do(tmp_path: Path) -> None:
    text = find("robots", "racer").read_text().replace("/dev/sandlot/", f"{tmp_path}/nowhere/")
    robot = tmp_path / "racer.toml"
    robot.write_text(text)
    findings = [
        f for f in examine(DoctorOptions(robot=str(robot), runs=tmp_path)) if f.check.startswith("port ")
    ]
    assert [f.status for f in findings] == ["failed", "failed"]
    assert all("does not exist" in f.text and "Plug the device in" in f.text for f in findings)


def test_a_simulated_operator_on_hardware_fails(tmp_path: Path) -> None:
    text = find("robots", "racer").read_text().replace('source = "held_key"', 'source = "simulated_operator"')
    robot = tmp_path / "racer.toml"
    robot.write_text(text)
    assert by_check(DoctorOptions(robot=str(robot), runs=tmp_path))["enable"] == ["failed"]


def test_an_unknown_robot_is_a_finding_not_an_exception(tmp_path: Path) -> None:
    assert by_check(DoctorOptions(robot="racr", runs=tmp_path))["contract"] == ["failed"]


def test_a_run_of_another_version_is_a_finding_not_an_exception(tmp_path: Path) -> None:
    run = create_session("racer", "oval", role="practice", runs=tmp_path, twin=True)
    text = (run.directory / "manifest.toml").read_text().replace(run.manifest.contract_hash, "0" * 64)
    (run.directory / "manifest.toml").write_text(text.replace("[spec.rates]", "[spec.rates]\ntickless = 1"))
    found = by_check(DoctorOptions(twin=True, runs=tmp_path))
    assert found["contract"] == ["ok", "warning"] and found["disk"] == ["ok"]


def test_each_emergency_stop_is_read_and_an_absent_one_fails(tmp_path: Path) -> None:
    robot = tmp_path / "racer.toml"
    sources = "".join(
        f'[[estop.sources]]\nname = "{name}"\nkind = "{kind}"\nport = "{port}"\ntimeout_s = 1\nbutton = 314\n'
        for name, kind, port in (
            ("post", "line", tmp_path / "nothing"),
            ("pad", "gamepad", tmp_path / "nothing"),
            ("net", "network", "127.0.0.1:5590"),
            ("bad", "network", "somewhere"),
        )
    )
    robot.write_text(f"{find('robots', 'racer').read_text()}\n{sources}")
    found = by_check(DoctorOptions(robot=str(robot), runs=tmp_path))
    told = [found[f"estop {name}"] for name in ("post", "pad", "net", "bad")]
    assert told == [["failed"], ["failed"], ["ok"], ["failed"]]
    assert found["drive timeout"] == ["skipped"]
