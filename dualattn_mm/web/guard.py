"""Let only those requests through to Gradio that its page sends."""

import json
import os
import re
from pathlib import Path
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UPLOAD_PATH = '/gradio_api/upload'
_JOIN_PATH = '/gradio_api/queue/join'
_MOST_JSON = 2**20
_METHODS = ('GET', 'POST')
# Gradio serves many more: a proxy, functions by name, recordings, deep links, its own monitoring.
_ALLOWED = re.compile(
    r'/|/(config|theme\.css|manifest\.json|favicon\.ico|robots\.txt)|/(assets|static|svelte)/.+'
    r'|/gradio_api/(upload|upload_progress|startup-events|theme\.css|reset|cancel|info|app_id)'
    r'|/gradio_api/(queue/(join|data)|heartbeat/[a-z0-9]+|file=.+)'
)
_STORED = re.compile(r'[0-9a-f]{32}/[a-z0-9.]+')  # uploads and results, in the folder of the page
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "font-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'self'; "
    "form-action 'self'"
)


class Guard:
    """An ASGI application in front of the one with the page.

    Requests that the page does not send are answered with 404, or with 405 because of the method:
    for HEAD, Gradio has routes of its own, which fetch addresses. A request that names a folder, a
    pattern, an address or a file which is not in `folder` is answered with 400: Gradio or the
    pipeline would read or fetch it.

    Args:
        app: the application.
        folder: the folder of uploads and results.
    """

    def __init__(self, app: ASGIApp, folder: Path):
        self.app, self._folder = app, os.path.realpath(folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get('path', '')
        if scope['type'] == 'websocket':
            return
        if scope['type'] != 'http' or path.startswith('/api/'):
            await self.app(scope, receive, send)
            return
        if not _ALLOWED.fullmatch(path):
            await JSONResponse({'detail': 'There is no such page.'}, 404)(scope, receive, send)
            return
        if scope['method'] not in _METHODS and (scope['method'], path) != ('HEAD', '/'):
            response = JSONResponse({'detail': f'{scope["method"]} is not possible here.'}, 405)
            response.headers['Allow'] = ', '.join(_METHODS)
            await response(scope, receive, send)
            return
        if path == _JOIN_PATH:
            body = await _read(receive)
            if body is None or not self._is_harmless(body):
                response = JSONResponse(
                    {'detail': 'The request refers to a file that is not yours.'}, 400
                )
                await response(scope, receive, send)
                return
            receive = _replay(body, receive)

        async def with_policy(message: Message) -> None:
            if message['type'] == 'http.response.start':
                headers = MutableHeaders(scope=message)
                headers['Content-Security-Policy'] = _POLICY
                headers['X-Content-Type-Options'] = 'nosniff'
                headers['Referrer-Policy'] = 'no-referrer'
            await send(message)

        await self.app(scope, receive, with_policy)

    def _is_harmless(self, body: bytes) -> bool:
        try:
            return self._all_uploaded(json.loads(body))
        except (ValueError, RecursionError):
            return False

    def _all_uploaded(self, value: Any) -> bool:
        if isinstance(value, dict):
            path = value.get('path')
            if path is not None and not self._is_uploaded(path):
                return False
            return all(map(self._all_uploaded, value.values()))
        return not isinstance(value, list) or all(map(self._all_uploaded, value))

    def _is_uploaded(self, path: Any) -> bool:
        """Tell whether a path is that of an upload or a result, or was it until the deletion."""
        if not isinstance(path, str) or '\0' in path or not os.path.isabs(path):
            return False
        real = os.path.realpath(path)
        return (
            real.startswith(self._folder + os.sep)
            and _STORED.fullmatch(real[len(self._folder) + 1 :]) is not None
            and (os.path.isfile(real) or not os.path.lexists(real))
        )


async def _read(receive: Receive) -> bytes | None:
    """Return the body of a request; None if it is too long for a request of the page."""
    body = b''
    more = True
    while more:
        message = await receive()
        if message['type'] != 'http.request':
            return None
        body += message.get('body', b'')
        more = message.get('more_body', False)
        if len(body) > _MOST_JSON:
            return None
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    messages = [{'type': 'http.request', 'body': body, 'more_body': False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed
