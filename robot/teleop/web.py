"""A page for a phone or a browser on the local network as an input device.

The page sends how it stands 30 times a second; a phone that is locked, out of reach or put away says nothing,
and one that has said nothing for ``SILENT_NS`` has let go. One page drives at a time: the first that takes
hold, until it lets go; the big stop button counts on every one. Whoever has the link may drive: it holds a
token, made anew for each session. There is no encryption: use it on a network that you trust.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from robot.clock import Clock
from robot.errors import SandlotError
from robot.layout import Struct
from robot.messages import HAND_PRESSES, InputKind
from robot.spec import RobotSpec
from robot.teleop.device import Reading

SILENT_NS: Final = 300_000_000
STATUS_S: Final = 0.2
"""Between two looks at the robot's state that the page shows [s]."""
PAGE: Final = Path(__file__).with_name("web.html")
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline'; connect-src 'self' ws:",
    "Referrer-Policy": "no-referrer",  # the link is a secret
    "Cache-Control": "no-store",
}
MOST_BYTES: Final = 4096
STARTING_S: Final = 10.0
ENDING_S: Final = 5.0
"""Its pages get half a second to go [s]."""


class Touch(Struct):
    """How a page stands. ``axes`` by actuator, in [-1, 1]; ``cap``: the share of what a person gets."""

    held: bool = False
    axes: dict[str, float] = msgspec.field(default_factory=dict)
    cap: float = 1.0
    press: tuple[str, ...] = ()
    estop: bool = False


class WebDevice:
    """Serves on ``host``:``port`` (0: any free one) until ``close``; ``address`` is the link to open.
    ``status``: what the page shows of the robot, as plain data. Raises SandlotError if it cannot serve."""

    kind = InputKind.WEB

    def __init__(
        self,
        spec: RobotSpec,
        token: str,
        host: str,
        port: int,
        clock: Clock,
        status: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.reason = "no page is open"
        self.address = ""
        self._names = [actuator.name for actuator in spec.actuators]
        self._capped = [axis.actuator for axis in spec.teleop.axes if axis.cap < 1.0]
        self._robot = {
            "robot": spec.name,
            "axes": {a.stick.lstrip("-"): (a.actuator, a.stick[:1] == "-") for a in spec.teleop.axes},
        }
        self._token, self._clock, self._status = token, clock, status
        self._lock = threading.Lock()
        self._pages: dict[int, tuple[int, Touch]] = {}
        """Of every page that is open: when it last said something, and what."""
        self._driver: int | None = None
        self._presses: list[str] = []
        self._estop = False
        self._input_ns = 0
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._ready, self._trouble = threading.Event(), ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._serve, args=(host, port), name="web", daemon=True)
        self._thread.start()
        if not self._ready.wait(STARTING_S) or self._trouble:
            raise SandlotError(f"the page cannot be served on {host}:{port}: {self._trouble or 'no answer'}")

    def descriptors(self) -> Sequence[int]:
        return (self._wake,)

    def read(self, now_ns: int) -> Reading:
        """What the page that drives says, and what was pressed on any."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        with self._lock:
            presses, self._presses = tuple(self._presses), []
            said_ns, touch = self._pages.get(self._driver or 0, (0, Touch()))
            held = touch.held and now_ns - said_ns < SILENT_NS
            axes = np.zeros(len(self._names))
            if held:
                for i, name in enumerate(self._names):
                    share = min(1.0, max(0.0, touch.cap)) if name in self._capped else 1.0
                    axes[i] = share * touch.axes.get(name, 0.0)
            return Reading(axes, held, self._input_ns, bool(self._pages), presses, self._estop)

    def close(self) -> None:
        if self._loop is not None and self._ended is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(ENDING_S)
        if not self._thread.is_alive():  # one that hangs may still write there, and is left behind
            os.close(self._wake)

    def take(self, page: int, touch: Touch) -> None:
        """A page has said something. What is not a number is no touch."""
        if not all(map(math.isfinite, (touch.cap, *touch.axes.values()))):
            touch = Touch(press=touch.press, estop=touch.estop)
        now_ns = self._clock.now_ns()
        with self._lock:
            self._pages[page] = (now_ns, touch)
            said_ns, driving = self._pages.get(self._driver or 0, (0, Touch()))
            if touch.held and not (driving.held and now_ns - said_ns < SILENT_NS):
                self._driver = page
            if page == self._driver or touch.press or touch.estop:
                self._input_ns = now_ns
            self._presses += [name for name in touch.press if name in HAND_PRESSES]
            self._estop = (self._estop and "reset" not in touch.press) or touch.estop
        os.eventfd_write(self._wake, 1)

    def leave(self, page: int) -> None:
        """A page was closed."""
        with self._lock:
            self._pages.pop(page, None)
        os.eventfd_write(self._wake, 1)

    def _serve(self, host: str, port: int) -> None:
        try:
            asyncio.run(self._run(host, port))
        except OSError as error:
            self._trouble = str(error)
        except ImportError:
            self._trouble = "it needs aiohttp: pip install '.[teleop]'"
        finally:
            self._ready.set()

    async def _run(self, host: str, port: int) -> None:
        from aiohttp import web

        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application()
        application.add_routes([web.get("/{token}/", self._page), web.get("/{token}/socket", self._socket)])
        runner = web.AppRunner(application, shutdown_timeout=0.5)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            self.address = f"http://{host}:{runner.addresses[0][1]}/{self._token}/"
            self._ready.set()
            await self._ended.wait()
        finally:
            await runner.cleanup()

    def _admit(self, request: Any) -> None:
        from aiohttp import web

        if not hmac.compare_digest(request.match_info["token"].encode(), self._token.encode()):
            raise web.HTTPForbidden(text="this link is of another session\n")
        # A page of another site that is open in the same browser may not talk to a robot.
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"http://{request.host}":
            raise web.HTTPForbidden(text="another site's page\n")

    async def _page(self, request: Any) -> Any:
        from aiohttp import web

        self._admit(request)
        return web.Response(text=PAGE.read_text(), content_type="text/html", headers=HEADERS)

    async def _socket(self, request: Any) -> Any:
        from aiohttp import WSMsgType, web

        self._admit(request)
        socket = web.WebSocketResponse(max_msg_size=MOST_BYTES, heartbeat=1.0)
        await socket.prepare(request)
        page = id(socket)
        telling = asyncio.create_task(self._tell(socket, page))
        try:
            async for message in socket:
                if message.type != WSMsgType.TEXT:
                    break
                try:
                    self.take(page, msgspec.json.decode(message.data, type=Touch))
                except msgspec.DecodeError:
                    break
        finally:
            telling.cancel()
            self.leave(page)
        return socket

    async def _tell(self, socket: Any, page: int) -> None:
        with contextlib.suppress(ConnectionError):
            await socket.send_json(self._robot)
            while True:
                with self._lock:
                    driving = self._driver
                await socket.send_json({**self._status(), "driver": driving == page})
                await asyncio.sleep(STATUS_S)
