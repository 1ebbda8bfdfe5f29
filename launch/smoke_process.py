"""The smoke gate's process: ``python -m launch.smoke_process DIR``, started by ``launch.smoke_gate``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

from launch import catalogue
from launch.clearance import begun_with
from launch.session import Session, open_session
from launch.smoke_gate import Verdict
from robot.errors import SandlotError
from sim.rollout import Setting
from sim.validation.smoke import SmokeGate
from sim.world import load_world

NICER = 5
"""Than the learner, which is not to lose updates to it."""


def setting_of(session: Session) -> Setting:
    """Where a session's policies are tried: in the robot's twin as calibrated, whatever drives."""
    manifest = session.manifest
    world = session.world if manifest.world else catalogue.find("worlds", manifest.course_name)
    return Setting(session.spec, session.contract, session.course, load_world(world), session.task)


def serve(gate: SmokeGate, first: bytes | None, source: BinaryIO, sink: BinaryIO) -> None:
    """A verdict for each candidate, until the source ends. ``first``: what drives before one is published."""
    while len(header := source.read(8)) == 8:
        onnx = source.read(int.from_bytes(header, "little"))
        published = source.read(int.from_bytes(source.read(8), "little"))
        reason = gate.judge(onnx, published or first)
        sink.write(msgspec.json.encode(Verdict(reason or "", gate.gave_way)) + b"\n")
        sink.flush()


def main(arguments: list[str]) -> int:
    """Returns 1 if there is no twin to try policies in."""
    os.nice(NICER)
    try:
        session = open_session(Path(arguments[0]))
        gate = SmokeGate(setting_of(session), session.manifest.seed)
        serve(gate, begun_with(session), sys.stdin.buffer, sys.stdout.buffer)
    except SandlotError as error:
        print(f"smoke gate: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
