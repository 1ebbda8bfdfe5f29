"""Ports on this machine that nobody uses."""

from __future__ import annotations

import socket

from robot.errors import SandlotError


def free_ports() -> int:
    """A loopback port that is free together with the next one up."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise SandlotError("no two neighbouring free ports on 127.0.0.1; too many sockets are open")
