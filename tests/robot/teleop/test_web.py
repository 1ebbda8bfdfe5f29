"""The page's server over real sockets: who may drive, how long, and that everybody may stop."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSServerHandshakeError

from launch.catalogue import find
from robot.clock import MonotonicClock
from robot.errors import SandlotError
from robot.spec import load_spec
from robot.teleop.device import Reading
from robot.teleop.web import MOST_BYTES, SILENT_NS, WebDevice

SPEC = load_spec(find("robots", "racer"))
SPEED, STEERING = (SPEC.actuator_layout.index(name) for name in ("speed", "steering"))
CLOCK = MonotonicClock()
DRIVES = {"held": True, "axes": {"speed": 0.5, "steering": -1.0}}
Page = Callable[[str], Awaitable[ClientWebSocketResponse]]


@pytest.fixture(scope="module")
def server() -> Iterator[WebDevice]:
    device = WebDevice(SPEC, "secret", "127.0.0.1", 0, CLOCK, lambda: {"safety": "ACTIVE"})
    yield device
    device.close()


def play(server: WebDevice, scene: Callable[[ClientSession], Awaitable[None]]) -> None:
    async def run() -> None:
        async with ClientSession() as session:
            await scene(session)

    asyncio.run(run())
    until(server, lambda now: not now.connected)


def until(server: WebDevice, true: Callable[[Reading], bool]) -> Reading:
    """What the device says once it is so."""
    end_s = time.monotonic() + 5.0
    while time.monotonic() < end_s:
        reading = server.read(CLOCK.now_ns())
        if true(reading):
            return reading
        time.sleep(0.005)
    raise AssertionError(f"not in 5 s: {reading}")


async def opened(session: ClientSession, server: WebDevice) -> ClientWebSocketResponse:
    return await session.ws_connect(server.address + "socket")


def test_a_page_drives_within_its_cap_and_has_let_go_when_it_says_nothing(server: WebDevice) -> None:
    async def scene(session: ClientSession) -> None:
        page = await opened(session, server)
        await page.send_json({**DRIVES, "cap": 0.5})
        reading = until(server, lambda now: now.held)
        assert reading.connected and reading.axes[SPEED] == 0.25 and reading.axes[STEERING] == -1.0
        said_ns = CLOCK.now_ns()
        until(server, lambda now: not now.held and not now.axes.any())
        assert CLOCK.now_ns() - said_ns < SILENT_NS + 200_000_000

    play(server, scene)


def test_one_page_drives_and_every_page_stops(server: WebDevice) -> None:
    async def scene(session: ClientSession) -> None:
        first, second = await opened(session, server), await opened(session, server)
        await first.send_json(DRIVES)
        until(server, lambda now: now.held)
        await second.send_json({"held": True, "axes": {"speed": 1.0}, "press": ["stop", "nonsense"]})
        reading = until(server, lambda now: bool(now.presses))
        assert reading.presses == ("stop",) and reading.axes[SPEED] == 0.5
        await first.close()
        await second.send_json({"held": True, "axes": {"speed": 1.0}})
        until(server, lambda now: now.held and now.axes[SPEED] == 1.0)
        await second.send_json({"estop": True})
        until(server, lambda now: now.estop)
        await second.send_json({})
        await asyncio.sleep(0.05)
        assert server.read(CLOCK.now_ns()).estop, "it stays until it is reset"
        await second.send_json({"press": ["reset"]})
        until(server, lambda now: not now.estop)

    play(server, scene)


def test_the_page_is_told_what_it_drives_and_how_it_stands(server: WebDevice) -> None:
    async def scene(session: ClientSession) -> None:
        page = await opened(session, server)
        told = [await page.receive_json() for _ in range(2)]
        assert told[0] == {"robot": "racer", "axes": {"ABS_Y": ["speed", True], "ABS_X": ["steering", True]}}
        assert told[1] == {"safety": "ACTIVE", "driver": False}

    play(server, scene)


@pytest.mark.parametrize("path", ["", "socket"])
def test_nobody_drives_without_the_link_or_from_another_sites_page(server: WebDevice, path: str) -> None:
    async def status(session: ClientSession, link: str, headers: dict[str, str]) -> int:
        if path:
            try:
                await (await session.ws_connect(link + path, headers=headers)).close()
            except WSServerHandshakeError as error:
                return error.status
            return 200
        async with session.get(link, headers=headers) as answer:
            return answer.status

    async def scene(session: ClientSession) -> None:
        here = server.address.split("/secret")[0]
        assert await status(session, server.address, {}) == 200
        assert await status(session, server.address, {"Origin": here}) == 200
        assert await status(session, server.address, {"Origin": "http://elsewhere"}) == 403
        for token in ("Secret", "secre", "secret0", "%C3%A9"):
            assert await status(session, f"{here}/{token}/", {}) == 403

    play(server, scene)


@pytest.mark.parametrize(
    "said",
    ['{"held": true, "axes": {"speed": NaN}}', "[]", '{"held": 1}', "\x00", "x" * (MOST_BYTES + 1)],
)
def test_what_no_page_of_ours_says_ends_its_connection(server: WebDevice, said: str) -> None:
    async def scene(session: ClientSession) -> None:
        page = await opened(session, server)
        await page.send_json(DRIVES)
        until(server, lambda now: now.held)
        await page.send_str(said)
        until(server, lambda now: not now.connected)
        assert not server.read(CLOCK.now_ns()).held

    play(server, scene)


def test_a_server_that_hangs_is_left_behind_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robot.teleop.web.ENDING_S", 0.05)
    asked, back = threading.Event(), threading.Event()

    def status() -> dict[str, str]:
        asked.set()
        back.wait(10.0)
        return {}

    device = WebDevice(SPEC, "secret", "127.0.0.1", 0, CLOCK, status)

    async def scene() -> None:
        async with ClientSession() as session:
            await opened(session, device)
            await asyncio.to_thread(asked.wait, 10.0)
            await asyncio.to_thread(device.close)
            assert device._thread.is_alive(), "nobody waited for it"
            os.eventfd_write(device._wake, 1)  # as the thread may, still
            back.set()

    asyncio.run(scene())
    device._thread.join(10.0)
    os.close(device._wake)


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(SandlotError, match="cannot be served on 127"):
            WebDevice(SPEC, "secret", "127.0.0.1", other.getsockname()[1], CLOCK)
