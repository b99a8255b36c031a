"""`ChatConsumer`: one WebSocket. Accepts it, pumps messages into the pipeline, reports each failure once, cleans up.

    receive (guard) > decode_json > receive_json (the read pump) > pipeline > handler

Nothing may escape: an exception out of a consumer's handler closes the socket with 1011 and skips `disconnect`
(channels#1068). So `__call__` and `dispatch` are our own: one reader, no channel of the layer (the hub has it), no hop
to asgiref's shared thread before every message, and a `finally` that always runs.
"""

from __future__ import annotations

import asyncio
from typing import Any

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from msgspec import UNSET

from chat import addresses, auth, conf, decode, envelope, flow, groups, origins, pipeline, protocol, runtime, telemetry
from chat.connection import Connection
from chat.connection_leases import Lease
from chat.encoded import Encoded
from chat.flood import RefusalLimit
from chat.outbox import Outbox
from errors.context import UNPARSED, RouteContext
from errors.exceptions import ChatError
from errors.failure import Failure
from errors.loggers import get_logger
from errors.middleware import ErrorMiddleware
from errors.taxonomy import (
    CLOSE_FLOOD,
    CLOSE_INTERNAL,
    CLOSE_RESTARTING,
    CLOSE_TOO_MANY_CONNECTIONS,
    CONNECTION_LIMIT_EXCEEDED,
    TOO_MANY_REQUESTS,
    Category,
    Stage,
)

# Of refusals that are no matter of signing in.
_CLOSE_AT_CONNECT = {
    CONNECTION_LIMIT_EXCEEDED.name: CLOSE_TOO_MANY_CONNECTIONS,
    TOO_MANY_REQUESTS.name: CLOSE_FLOOD,
}

# What goes on and on like this is a flood: frames that are wrong, and right ones that are too many.
_FAULTS_OF_CLIENT = (Category.VALIDATION, Category.RATE_LIMIT)

log = get_logger("chat.consumers")


class ChatConsumer(AsyncJsonWebsocketConsumer):
    connection: Connection | None = None
    outbox: Outbox | None = None
    context: RouteContext  # of the frame that is being read

    # --- The life of the socket ---

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.base_send = send
        self.runtime = runtime.current()
        self._guarded_connect = ErrorMiddleware(self._connect)
        self._guarded_receive = ErrorMiddleware(self._receive)
        self._writer: asyncio.Task[None] | None = None
        self._lease: Lease | None = None
        self._flow = flow.of(receive, send)
        self._flow.hold(flow.Hold.HANDSHAKE)
        self.runtime.sockets += 1
        try:
            while True:
                await self.dispatch(await self._flow.receive())
        except StopConsumer:
            pass
        finally:
            self._clean_up()

    async def dispatch(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "websocket.receive":
                await self.receive(message.get("text"), message.get("bytes"))
            case "websocket.connect":
                await self.connect()
            case "websocket.disconnect":
                raise StopConsumer

    def _clean_up(self) -> None:
        self.runtime.sockets -= 1
        if self._writer is not None:
            self._writer.cancel()
        if self.outbox is not None:
            self.outbox.dispose()
        self._flow.finish()
        if self._lease is not None:
            self.runtime.leases.release(self._lease)
        if self.connection is not None:
            self.runtime.connections.pop(self.connection.id, None)
            self.connection.detach()
            telemetry.CONNECTIONS.dec()

    # --- Connecting ---

    async def connect(self) -> None:
        context = RouteContext(Stage.CONNECT, message_type="connect")
        failure = await self._guarded_connect(None, context)
        if failure is None:
            return
        try:
            if issubclass(failure.kind, origins.OriginRefused):
                await self.base_send({"type": "websocket.close"})  # before accept: HTTP 403
                return
            # A browser cannot see a refused handshake: accept, say why, close.
            outbox = self.outbox or await self._accept()
            self._tell(failure, outbox)
            outbox.close(failure.spec.close_code or _CLOSE_AT_CONNECT.get(failure.spec.name, CLOSE_INTERNAL))
        finally:
            failure.settle(None, deliveries=0)  # unless somebody was told

    async def _connect(self, _: None, context: RouteContext) -> None:
        context.address = address = addresses.of(self.scope)  # first: nothing else tells who was refused
        origins.check(self.scope)
        if await self._is_sent_away():
            return
        if address is not None:
            limits = self.runtime.limits
            await limits.take(limits.window("handshake", address), conf.chat().handshakes_per_minute)
        signed_in = await self.runtime.threads.run(auth.sign_in, origins.cookies_of(self.scope))
        if await self._is_sent_away():
            return
        context.user_id = signed_in.user_id
        self._lease = await self._take_lease(signed_in.user_id)
        outbox = await self._accept()
        if await self._is_sent_away():
            return
        # No await between this look and the line that adds the connection: a process that begins to go down tells those
        # it finds there, and would miss this one.
        connection = Connection(self.runtime, login=signed_in.login, outbox=outbox, address=address)
        context.connection_id = connection.id
        self.connection, self.pipeline = connection, pipeline.build(connection)
        self._refusals = RefusalLimit(conf.chat().refused_per_minute, self.runtime.limits, connection.user_id)
        self.runtime.connections[connection.id] = connection
        telemetry.CONNECTIONS.inc()
        connection.push(self._status(connection, signed_in))
        # A sign-out after the look above and before the connection could be told of it was heard by nobody.
        self.runtime.access.look_at((connection,))

    async def _take_lease(self, user_id: str) -> Lease:
        try:
            return await self.runtime.leases.take(user_id)
        except ChatError:
            if self.runtime.leases.is_first_refusal(user_id):
                self.runtime.hub.broadcast(groups.of_user(user_id), protocol.at_connection_limit())
            raise

    async def _is_sent_away(self) -> bool:
        """Whether the server is going down: come back to the next one."""
        if not self.runtime.is_draining:
            return False
        outbox = self.outbox or await self._accept()
        outbox.put_answer(Encoded.of(self.runtime.goodbye()))
        outbox.close(CLOSE_RESTARTING)
        return True

    async def _accept(self) -> Outbox:
        offered = self.scope.get("subprotocols") or ()
        await self.accept(protocol.SUBPROTOCOL if protocol.SUBPROTOCOL in offered else None)
        settings = conf.chat()
        self.outbox = Outbox(
            self.base_send,
            self._flow,
            size=settings.outbox_size,
            max_chars=settings.outbox_chars,
            patience_s=settings.slow_client_s,
        )
        self._flow.forget_handshake()
        self._flow.release(flow.Hold.HANDSHAKE)
        self._writer = self.runtime.spawn(self.outbox.run())
        return self.outbox

    def _status(self, connection: Connection, signed_in: auth.SignedIn) -> protocol.ConnectionStatus:
        settings = conf.chat()
        return protocol.ConnectionStatus(
            connection_id=connection.id,
            user_id=signed_in.user_id,
            session_id=signed_in.latest_session_id,
            models=self.runtime.backend.models,
            limits=protocol.Limits(
                max_content_chars=settings.max_content_chars,
                max_frame_bytes=settings.max_frame_bytes,
                messages_per_minute=settings.messages_per_minute,
            ),
            heartbeat_interval=int(settings.heartbeat_s * 1000),
        )

    # --- Receiving ---

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        """Guard around one frame: whatever goes wrong before it has a type is reported here."""
        if self.connection is None or self.outbox is None or self.outbox.is_closing:
            return  # told why, and about to be closed
        self.context = RouteContext(
            Stage.RECEIVE,
            UNPARSED,
            user_id=self.connection.user_id,
            connection_id=self.connection.id,
            address=self.connection.address,
        )
        failure = await self._guarded_receive(text_data, self.context)
        if failure is not None:
            self._tell(failure, self.outbox)
            self._count_refusal(self.connection, self.outbox)

    async def _receive(self, text: str | None, context: RouteContext) -> None:
        try:
            self._refusals.check()
            message = await self.decode_json(text)
        except ChatError:
            told = envelope.read(text)
            context.message_type = told.type or UNPARSED
            context.ref, context.session_id = told.ref, told.session_id
            context.private_texts = told.texts
            raise
        await self.receive_json(message)

    @classmethod
    async def decode_json(cls, text_data: str | None) -> protocol.Inbound:
        return decode.decode(text_data)

    async def receive_json(self, content: protocol.Inbound, **kwargs: Any) -> None:
        """The read pump: one typed message into the pipeline, and its failure, if there is one, to who sent it."""
        connection, outbox = self.connection, self.outbox
        if connection is None or outbox is None:
            return  # `receive` lets nothing through before there is a connection
        connection.route = context = self.context
        context.stage, context.message_type = Stage.ROUTE, content.type
        context.session_id = None if content.session_id is UNSET else content.session_id
        context.ref = None if content.ref is UNSET else content.ref
        context.private_texts = content.private_texts
        failure = await self.pipeline(content, context)
        if failure is not None:
            self._tell(failure, outbox)
            if failure.spec.close_code is not None:
                outbox.close(failure.spec.close_code)
            elif failure.spec.category in _FAULTS_OF_CLIENT:
                self._count_refusal(connection, outbox)

    def _count_refusal(self, connection: Connection, outbox: Outbox) -> None:
        self._refusals.count()
        if self._refusals.is_flood:
            log.info("chat.flooding_connection_closed", connection_id=connection.id, user_id=connection.user_id)
            outbox.close(CLOSE_FLOOD)

    # --- Telling ---

    def _tell(self, failure: Failure, outbox: Outbox) -> None:
        """Respond the one error frame of a failure, and note in its record what became of the frame. Never waits."""
        frame = protocol.ErrorFrame(
            ref=failure.context.ref,
            session_id=failure.context.session_id,
            error=failure.payload(self.runtime.replies.accepted_actions()),
        )
        encoded = Encoded.of(frame)
        is_taken = outbox.put_answer(encoded)
        failure.settle(encoded.text, deliveries=int(is_taken), drops=int(not is_taken))
