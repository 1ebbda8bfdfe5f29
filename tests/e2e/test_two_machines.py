"""Robot and learner on two addresses, in two network namespaces: keys, streaming, and strangers kept out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_practice_session import COMMAND, end, session_of, start, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.realtime,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ip") is None,
        reason="network namespaces need root and iproute2",
    ),
]
ROBOT, LEARNER = "10.77.0.1", "10.77.0.2"


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


@pytest.fixture
def namespaces() -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Two hosts on one cable; each as the prefix that runs a command on it."""
    tag = uuid.uuid4().hex[:6]
    robot, learner = f"sl-r-{tag}", f"sl-l-{tag}"
    try:
        run("ip", "netns", "add", robot)
        run("ip", "netns", "add", learner)
        run(
            "ip",
            "link",
            "add",
            f"r{tag}",
            "netns",
            robot,
            "type",
            "veth",
            "peer",
            f"l{tag}",
            "netns",
            learner,
        )
        for name, device, address in ((robot, f"r{tag}", ROBOT), (learner, f"l{tag}", LEARNER)):
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", device)
            run("ip", "-n", name, "link", "set", device, "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")
    try:
        yield ("ip", "netns", "exec", robot), ("ip", "netns", "exec", learner)
    finally:
        for name in (robot, learner):
            subprocess.run(("ip", "netns", "del", name), check=False, capture_output=True)


def keys(folder: Path, *words: str) -> None:
    run(*COMMAND, "keys", *words, "--keys", str(folder))


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What two people do on two machines: the robot's keys and the learner's."""
    folder = tmp_path_factory.mktemp("keys")
    robot, learner = folder / "robot-keys", folder / "learner-keys"
    keys(robot, "make", "racer")
    keys(learner, "make", "learner")
    keys(learner, "allow", str(robot / "racer.pub"))
    keys(robot, "allow", str(learner / "learner.pub"))
    keys(learner, "session")
    shutil.copy2(learner / "session.key", robot / "session.key")
    return robot, learner


def start_both(
    folder: Path, on_robot: tuple[str, ...], on_learner: tuple[str, ...], robot_keys: Path, learner_keys: Path
) -> tuple[subprocess.Popen[str], subprocess.Popen[str]]:
    """The onboard side in one network, the learner in another."""
    address = f"{LEARNER}:5588"
    learner = start(
        *("learner", "racer", "--bind", address, "--key", "learner", "--keys", str(learner_keys)),
        *("--runs", str(folder / "learner"), "--update-ratio", "1"),
        cwd=folder,
        prefix=on_learner,
    )
    robot = start(
        *("onboard", "racer", "--twin", "--learner", address, "--key", "racer", "--keys", str(robot_keys)),
        *("--runs", str(folder / "robot"), "--no-report", "--minutes", "0"),
        cwd=folder,
        prefix=on_robot,
    )
    return robot, learner


def test_robot_and_learner_on_two_machines(tmp_path: Path, namespaces, exchanged) -> None:  # type: ignore[no-untyped-def]
    robot, learner = start_both(tmp_path, *namespaces, *exchanged)
    try:
        session = session_of(tmp_path / "robot")
        # Transitions go there and a policy comes back.
        wait_for(session, lambda now: now.durable > 100, 180)
        wait_for(session, lambda now: now.policy_version > 0, 180)
    finally:
        said = end(robot), end(learner)
    assert robot.returncode == 0 and learner.returncode == 0, said
    assert any(session.policies.glob("*.onnx"))


def test_a_robot_whose_key_is_not_listed_gets_nothing(tmp_path: Path, namespaces, exchanged) -> None:  # type: ignore[no-untyped-def]
    robot_keys, listing = exchanged
    learner_keys = tmp_path / "learner-keys"
    shutil.copytree(listing, learner_keys)
    # The learner lists somebody else in the robot's place.
    keys(tmp_path / "other", "make", "stranger")
    (learner_keys / "allowed" / "racer.pub").unlink()
    keys(learner_keys, "allow", str(tmp_path / "other" / "stranger.pub"))
    robot, learner = start_both(tmp_path, *namespaces, robot_keys, learner_keys)
    try:
        session = session_of(tmp_path / "robot")
        listens = "racer/latest/learner/journal/rows.journal"
        wait_for(session, lambda now: now.spooled > 20 and (tmp_path / "learner" / listens).exists(), 180)
        reader_saw: list[bool] = []
        wait_for(
            session, lambda now: reader_saw.append(now.connected or now.received > 0) or len(reader_saw) > 40
        )
        assert not any(reader_saw), "a learner served a robot that it does not know"
    finally:
        said = end(robot), end(learner)
    assert robot.returncode == 0 and learner.returncode == 0, said
    assert not any(session.policies.glob("*.onnx"))
