"""The page in a real browser: a finger on the joystick drives, off it lets go, and the big button stops."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse

from launch.catalogue import find
from robot.clock import MonotonicClock
from robot.spec import load_spec
from robot.teleop.device import Reading
from robot.teleop.web import WebDevice

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine: apt-get install chromium"),
]
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=412,800",
)
SPEC = load_spec(find("robots", "racer"))
SPEED, STEERING = (SPEC.actuator_layout.index(name) for name in ("speed", "steering"))
CLOCK = MonotonicClock()
SECONDS = 20.0


@contextmanager
def browser(link: str, folder: Path) -> Iterator[str]:
    """Chromium on ``link``; the address of its debugging protocol."""
    assert BROWSER is not None
    process = subprocess.Popen(
        (BROWSER, *QUIET, f"--user-data-dir={folder}", link),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"ws://([^/]+)/", line):
                yield f"http://{found[1]}"
                break
        else:
            raise AssertionError("chromium ended")
    finally:
        process.kill()
        process.wait()


class Person:
    """A mouse on the page, by the DevTools protocol."""

    def __init__(self, socket: ClientWebSocketResponse, device: WebDevice) -> None:
        self._socket, self._device, self._number = socket, device, 0

    async def ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            answer = json.loads((await self._socket.receive()).data)
            if answer.get("id") == self._number:
                return answer["result"]

    async def javascript(self, expression: str) -> Any:
        found = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    async def mouse(self, what: str, at: str, x: float, y: float) -> None:
        """``x`` and ``y``: shares of an element's box."""
        box = f"document.querySelector({at!r}).getBoundingClientRect()"
        rectangle = await self.javascript(f"(b => [b.x, b.y, b.width, b.height])({box})")
        left, top, width, height = rectangle
        await self.ask(
            "Input.dispatchMouseEvent",
            type=f"mouse{what}",
            x=left + x * width,
            y=top + y * height,
            button="left",
            buttons=int(what != "Released"),
            clickCount=1,
        )

    async def sees(self, true: Callable[[Reading], bool]) -> Reading:
        end_s = time.monotonic() + SECONDS
        while time.monotonic() < end_s:
            reading = self._device.read(CLOCK.now_ns())
            if true(reading):
                return reading
            await asyncio.sleep(0.01)
        raise AssertionError(f"not in {SECONDS:g} s: {reading}")


async def play(address: str, device: WebDevice) -> None:
    async with ClientSession() as session:
        async with session.get(f"{address}/json") as answer:
            pages = await answer.json()
        page = next(p for p in pages if p["type"] == "page")
        async with session.ws_connect(page["webSocketDebuggerUrl"]) as socket:
            person = Person(socket, device)
            while not await person.javascript("document.querySelector('.stick') !== null"):
                await asyncio.sleep(0.05)
            assert await person.javascript("document.getElementById('robot').textContent") == "racer"
            assert not (await person.sees(lambda now: now.connected)).held
            await person.mouse("Pressed", ".stick", 0.5, 0.5)
            assert not (await person.sees(lambda now: now.held)).axes.any(), "a hand that moves nothing"
            await person.mouse("Moved", ".stick", 0.1, 0.1)
            reading = await person.sees(lambda now: now.axes[SPEED] > 0.0)
            assert reading.axes[SPEED] == pytest.approx(0.5), "the cap is at 50 % at first"
            assert reading.axes[STEERING] == pytest.approx(1.0), "left is positive"
            await person.mouse("Released", ".stick", 0.1, 0.1)
            await person.sees(lambda now: not now.held and not now.axes.any())
            await person.mouse("Pressed", ".stick", 0.5, 0.5)
            await person.sees(lambda now: now.held)
            await person.javascript("dispatchEvent(new Event('blur'))")
            await person.sees(lambda now: not now.held)
            await person.mouse("Released", ".stick", 0.5, 0.5)
            await person.mouse("Pressed", "#stop", 0.5, 0.5)
            await person.sees(lambda now: now.estop)


def test_a_person_drives_by_the_page(tmp_path: Path) -> None:
    device = WebDevice(SPEC, "secret", "127.0.0.1", 0, CLOCK, lambda: {"safety": "ACTIVE"})
    try:
        with browser(device.address, tmp_path) as address:
            asyncio.run(asyncio.wait_for(play(address, device), 3 * SECONDS))
    finally:
        device.close()
