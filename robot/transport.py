"""Links between a robot and its learner. The only module that knows ZeroMQ.

Steps and acknowledgements travel over DEALER/ROUTER, policies over PUB/SUB of which only the newest is kept.
All links are polled and never block. Delivery is not promised here: sequence numbers, acknowledgements and
the spool (courier, learner server) make it exactly once, over links that may lose anything at any time.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Final, Protocol

import zmq
from zmq.utils import z85

from robot.errors import SandlotError
from robot.keys import KeyPair, LearnerKeys, RobotKeys
from robot.wire import MAX_POLICY, MAX_ROWS

Frames = list[bytes]

QUEUED_MESSAGES: Final = 64
"""High-water mark of each queue [messages]; beyond it a send says no and the sender keeps its rows."""
HEARTBEAT_MS: Final = 1_000
DEAD_AFTER_MS: Final = 5_000
"""A peer silent for so long is disconnected. libzmq itself answers heartbeats: a busy learner is not dead."""
POLICY_PORT_OFFSET: Final = 1


class RobotEnd(Protocol):
    """The robot's end of a link."""

    def send(self, frames: Frames) -> bool:
        """Queue a message; False if there is no connection or the queue is full."""

    def receive(self) -> list[Frames]:
        """All messages that have arrived, oldest first."""

    def policy(self) -> bytes | None:
        """The newest published policy that has not been returned yet."""

    def wait(self, seconds: float) -> None:
        """Return when something has arrived, or after ``seconds``."""

    def close(self) -> None: ...


class LearnerEnd(Protocol):
    """The learner's end of the links of any number of robots, each known by an identity."""

    def receive(self) -> list[tuple[bytes, Frames]]:
        """All messages that have arrived, each with its sender's identity."""

    def send(self, identity: bytes, frames: Frames) -> bool:
        """Queue a message to one robot; False if it is gone or its queue is full."""

    def publish(self, frame: bytes) -> None:
        """Offer a policy to every connected robot; it replaces any that is still waiting."""

    def wait(self, seconds: float) -> None:
        """Return when something has arrived, or after ``seconds``."""

    def close(self) -> None: ...


def endpoints(address: str) -> tuple[str, str]:
    """``HOST:PORT`` to the two endpoints of a link: steps on PORT, policies on PORT + 1."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65535:
        raise SandlotError(f"{address!r} is not an address; expected HOST:PORT, such as 127.0.0.1:5588")
    return f"tcp://{host}:{port}", f"tcp://{host}:{int(port) + POLICY_PORT_OFFSET}"


def is_local(endpoint: str) -> bool:
    """Whether an endpoint can be reached from this machine only."""
    if re.match(r"(?:ipc|inproc)://.", endpoint):
        return True
    match = re.fullmatch(r"tcp://\[?([^;@\[\]]+)\]?:(?:\d+|\*)", endpoint)
    if match is None:
        return False
    if match[1] == "localhost":
        return True
    try:
        address = ipaddress.ip_address(match[1])
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (mapped or address).is_loopback
    except ValueError:
        return False


def new_pair() -> KeyPair:
    """A fresh CURVE key pair."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


class RobotLink:
    """Connects to a learner. Sockets reconnect by themselves; a lost connection is a send that says no."""

    def __init__(self, steps: str, policies: str, keys: RobotKeys | None = None) -> None:
        _require_keys((steps, policies), keys, "connect to")
        self._context = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        self._subscriber = self._context.socket(zmq.SUB)
        for socket, most in ((self._dealer, MAX_ROWS), (self._subscriber, MAX_POLICY)):
            _harden(socket, most, f"{steps} {policies}")
            socket.set(zmq.RECONNECT_IVL, 100)
            socket.set(zmq.RECONNECT_IVL_MAX, 1_000)
            socket.set(zmq.CONNECT_TIMEOUT, 2_000)
            if keys is not None:
                socket.curve_publickey = keys.own.public.encode()
                socket.curve_secretkey = keys.own.secret.encode()
                socket.curve_serverkey = keys.learner.encode()
        self._dealer.set(zmq.IMMEDIATE, 1)  # nothing is queued for a learner that is not there
        self._subscriber.set(zmq.CONFLATE, 1)  # before connect; afterwards it does nothing
        self._subscriber.set(
            zmq.SUBSCRIBE, b""
        )  # one subscription only: CONFLATE keeps the last of those, too
        self._poller = _poller(self._dealer, self._subscriber)
        try:
            self._dealer.connect(steps)
            self._subscriber.connect(policies)
        except zmq.ZMQError as error:
            self.close()
            raise SandlotError(f"cannot connect to {steps} and {policies}: {error}") from None

    def send(self, frames: Frames) -> bool:
        try:
            self._dealer.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError as error:
            return _not_now(error)
        return True

    def receive(self) -> list[Frames]:
        return _drain(self._dealer)

    def policy(self) -> bytes | None:
        try:
            return bytes(self._subscriber.recv(zmq.NOBLOCK))
        except zmq.Again:
            return None

    def wait(self, seconds: float) -> None:
        self._poller.poll(int(seconds * 1e3))

    def close(self) -> None:
        self._context.destroy(linger=0)


class LearnerLink:
    """Binds for any number of robots. With keys, only listed public keys get past the handshake."""

    def __init__(self, steps: str, policies: str, keys: LearnerKeys | None = None) -> None:
        _require_keys((steps, policies), keys, "listen on")
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._publisher = self._context.socket(zmq.PUB)
        self._gate = _Gate(self._context, keys.allowed) if keys is not None else None
        for socket in (self._router, self._publisher):
            _harden(socket, MAX_ROWS, f"{steps} {policies}")
            socket.set(zmq.HEARTBEAT_TTL, DEAD_AFTER_MS)
            if keys is not None:
                socket.set(zmq.ZAP_DOMAIN, b"sandlot")
                socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
                socket.curve_server = True
                socket.curve_secretkey = keys.own.secret.encode()
        self._router.set(
            zmq.ROUTER_MANDATORY, 1
        )  # a message to a robot that is gone is an error, not silence
        self._publisher.set(
            zmq.CONFLATE, 1
        )  # a slow robot gets the newest policy, not the oldest waiting one
        sockets = [self._router] if self._gate is None else [self._router, self._gate.socket]
        self._poller = _poller(*sockets)
        try:
            self._router.bind(steps)
            self._publisher.bind(policies)
        except zmq.ZMQError as error:
            self.close()
            raise SandlotError(
                f"cannot listen on {steps} and {policies}: {error}; is another learner running there?"
            ) from None
        self.endpoints = (_bound(self._router), _bound(self._publisher))
        """Where it really listens, with the port that a ``*`` became: steps, policies."""

    @property
    def refused(self) -> int:
        """How many handshakes had a key that is not on the list."""
        return 0 if self._gate is None else self._gate.refused

    def receive(self) -> list[tuple[bytes, Frames]]:
        if self._gate is not None:
            self._gate.answer()
        return [(frames[0], frames[1:]) for frames in _drain(self._router)]

    def send(self, identity: bytes, frames: Frames) -> bool:
        try:
            self._router.send_multipart([identity, *frames], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            return _not_now(error)
        return True

    def publish(self, frame: bytes) -> None:
        self._publisher.send(frame, zmq.NOBLOCK)

    def wait(self, seconds: float) -> None:
        self._poller.poll(int(seconds * 1e3))
        if self._gate is not None:
            self._gate.answer()

    def close(self) -> None:
        self._context.destroy(linger=0)


class _Gate:
    """The ZAP handler (ZeroMQ RFC 27): libzmq asks it about every key, and without one it admits anybody.

    It is answered from the link's own polls rather than from a thread, so there is nothing to die unseen.
    """

    def __init__(self, context: zmq.Context[Any], allowed: frozenset[str]) -> None:
        self.refused = 0
        self._allowed = {z85.decode(key.encode()) for key in allowed}
        self.socket = context.socket(zmq.ROUTER)
        self.socket.set(zmq.LINGER, 0)
        self.socket.bind("inproc://zeromq.zap.01")  # must precede every bind that it guards

    def answer(self) -> None:
        for frames in _drain(self.socket):
            envelope, body = frames[:2], frames[2:]
            if len(body) < 6:
                continue
            version, request, mechanism, credentials = body[0], body[1], body[5], body[6:]
            known = (
                version == b"1.0"
                and mechanism == b"CURVE"
                and len(credentials) == 1
                and credentials[0] in self._allowed
            )
            self.refused += not known
            verdict = [b"200", b"OK"] if known else [b"400", b"key not on the allow-list"]
            user = z85.encode(credentials[0]) if known else b""
            self.socket.send_multipart([*envelope, b"1.0", request, *verdict, user, b""], zmq.NOBLOCK)


def _harden(socket: zmq.Socket[Any], most: int, where: str) -> None:
    """Bounds, liveness and no lingering; all before connect or bind, where alone they count."""
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.SNDHWM, QUEUED_MESSAGES)
    socket.set(zmq.RCVHWM, QUEUED_MESSAGES)
    socket.set(zmq.MAXMSGSIZE, most + 4096)
    socket.set(zmq.IPV6, int(bool(re.search(r"//[^/ ]*[a-zA-Z\[]", where))))  # names and [addresses] only
    socket.set(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.set(zmq.HEARTBEAT_TIMEOUT, DEAD_AFTER_MS)
    socket.set(zmq.HANDSHAKE_IVL, DEAD_AFTER_MS)
    socket.set(zmq.TCP_KEEPALIVE, 1)
    socket.set(zmq.TCP_KEEPALIVE_IDLE, 5)
    socket.set(zmq.TCP_KEEPALIVE_INTVL, 2)
    socket.set(zmq.TCP_KEEPALIVE_CNT, 3)


def _require_keys(where: tuple[str, ...], keys: RobotKeys | LearnerKeys | None, verb: str) -> None:
    outside = [endpoint for endpoint in where if not is_local(endpoint)]
    if outside and keys is None:
        raise SandlotError(
            f"refusing to {verb} {outside[0]} without keys: anybody on that network could drive the robot or "
            "read its data. Make keys with `sandlot keys` and exchange the .pub files, or stay on 127.0.0.1"
        )


def _poller(*sockets: zmq.Socket[Any]) -> zmq.Poller:
    poller = zmq.Poller()
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)
    return poller


def _drain(socket: zmq.Socket[Any]) -> list[Frames]:
    """What has arrived, bounded so that a flood cannot hold the caller."""
    messages: list[Frames] = []
    while len(messages) < 4 * QUEUED_MESSAGES:
        try:
            messages.append(socket.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            break
    return messages


def _bound(socket: zmq.Socket[Any]) -> str:
    endpoint: bytes = socket.getsockopt(zmq.LAST_ENDPOINT)  # type: ignore[assignment]
    return endpoint.rstrip(b"\0").decode()


def _not_now(error: zmq.ZMQError) -> bool:
    if error.errno in (zmq.EAGAIN, zmq.EHOSTUNREACH):
        return False
    raise SandlotError(f"sending failed: {error}") from error
