"""Says in one line that $PORT cannot be listened on, before a server fails in forty."""

from __future__ import annotations

import errno
import os
import socket
import sys


def find_fault(port: str) -> str | None:
    """Why a server cannot listen on this port of 127.0.0.1, or None."""
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        return f"PORT is {port!r}: it must be a number from 1 to 65535"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: no waiting for old sockets
        try:
            probe.bind(("127.0.0.1", int(port)))
            probe.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"port {port} is taken: make run PORT={int(port) % 65535 + 1}"
            return f"port {port} cannot be used: {error.strerror}"
    return None


fault = find_fault(os.environ.get("PORT", "8000"))
if fault:
    sys.exit(fault)
