"""The wire between a page and the real server, with a hand on it: frames get lost, come twice, or come from nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, WebSocketRoute

Frame = dict[str, Any]
CUT = 4400  # any close code after which a client comes back; 1006 cannot be sent on purpose


class Wire:
    """One page's way to the server, over all its connections.

    Attributes:
        copies_up: How often a frame of the page arrives: 0, 1, 2 times.
        copies_down: The same for a frame of the server.
        lost: Frames of the page that did not arrive.
    """

    def __init__(self, page: Page) -> None:
        self.copies_up: Callable[[Frame], int] = lambda frame: 1
        self.copies_down: Callable[[Frame], int] = lambda frame: 1
        self.lost: list[Frame] = []
        self._ends: list[WebSocketRoute] = []
        page.route_web_socket("**/chat/ws", self._connect)

    def tell(self, frame: Frame) -> None:
        """Let the page hear a frame that the server did not send."""
        self._ends[-1].send(json.dumps(frame))

    def cut(self, code: int = CUT) -> None:
        """End the connection; the page opens another one, unless the code says otherwise."""
        self._ends[-1].close(code=code)

    def _connect(self, end: WebSocketRoute) -> None:
        server = end.connect_to_server()
        self._ends.append(end)

        def up(text: str | bytes) -> None:
            frame = json.loads(text)
            copies = self.copies_up(frame)
            if copies == 0:
                self.lost.append(frame)
            for _ in range(copies):
                server.send(text)

        def down(text: str | bytes) -> None:
            for _ in range(self.copies_down(json.loads(text))):
                end.send(text)

        end.on_message(up)
        server.on_message(down)
