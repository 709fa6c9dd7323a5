"""Limit what a server receives, before anything reads or stores it."""

import contextlib
import time
from collections.abc import Callable

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .limits import Limits, Refused, busy, full

_AROUND = 2**16  # bytes around the file in a body
# Most clients see an answer only once they have sent everything, so this much is read for them.
_DRAIN_SECONDS, _DRAIN_FACTOR = 10, 4


class Intake:
    """An ASGI application that limits the body of every request to another application.

    Args:
        app: the application.
        limits: a body may have `bytes` and take `seconds`, and at most `requests` requests with a
            body are handled at the same time, each until its answer starts.
        stores: for the paths that take many files in one body, a function that returns how many
            bytes there is room for. All such bodies together may have that size.
    """

    def __init__(self, app: ASGIApp, limits: Limits, stores: dict[str, Callable[[], int]]):
        self.app, self.limits, self._stores = app, limits, stores
        self._active = self._reserved = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] != 'http' or scope['method'] in ('GET', 'HEAD', 'OPTIONS'):
            await self.app(scope, receive, send)
            return
        body = _Body(receive, self.limits)
        try:
            try:
                reserved = await self._reserve(scope, body)
            except Refused:
                await body.drain()
                raise
            self._active += 1
            self._reserved += reserved
            with contextlib.ExitStack() as held:
                held.callback(self._release, reserved)

                async def answer(message: Message) -> None:
                    held.close()  # a client may take long to receive the answer
                    await send(message)

                await self.app(scope, body.receive, answer)
        except Refused as refusal:  # also of a body that an application reads outside its handlers
            response = JSONResponse({'detail': refusal.detail}, refusal.status_code)
            response.headers.update(refusal.headers or {})
            await response(scope, receive, send)

    def _release(self, reserved: int) -> None:
        self._active -= 1
        self._reserved -= reserved

    async def _reserve(self, scope: Scope, body: '_Body') -> int:
        """Return how much of the store a body may need, or refuse the body."""
        room = self._stores.get(scope['path'])
        left = await run_in_threadpool(room) - self._reserved if room else 0
        if self._active >= self.limits.requests:
            raise busy()
        declared = dict(scope['headers']).get(b'content-length', b'0')
        if not declared.isdigit() or (room is None and int(declared) > body.most):
            raise self.limits.too_large()
        if room is None:
            return 0
        body.most = int(declared) or body.most
        if body.most > left:
            raise full()
        return body.most


class _Body:
    """The body of a request. `receive` raises `Refused` if it is too long or too slow.

    It may take the time of the limits for each of the bytes of the limits.
    """

    def __init__(self, receive: Receive, limits: Limits):
        self.most = limits.bytes + _AROUND
        self._receive, self._limits = receive, limits
        self._count, self._more = 0, True
        self._start = time.monotonic()

    async def receive(self) -> Message:
        if not self._more:
            return await self._receive()  # waits until the client closes the connection
        shares = 1 + self._count // self._limits.bytes
        deadline = self._start + shares * self._limits.seconds
        try:
            with anyio.fail_after(max(0.0, deadline - time.monotonic())):
                message = await self._next()
        except TimeoutError:
            self._more = False
            reason = f'The file was not received within {self._limits.seconds:g} seconds.'
            raise Refused(408, reason) from None
        if self._count > self.most:
            await self.drain()
            raise self._limits.too_large()
        return message

    async def drain(self) -> None:
        with contextlib.suppress(TimeoutError), anyio.fail_after(_DRAIN_SECONDS):
            while self._more and self._count < _DRAIN_FACTOR * self.most:
                await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        self._count += len(message.get('body', b''))
        self._more = message['type'] == 'http.request' and message.get('more_body', False)
        return message
