"""Answer only those requests that call the server by a known name."""

import re

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_HOST = re.compile(r'(\[[0-9a-f:.]+\]|[^:]+)(:\d+)?')


class KnownHosts:
    """An ASGI application in front of another one. Other names are answered with 400.

    Without it, a page of a stranger could call a server on this machine under a name of its own.

    Args:
        app: the application.
        hosts: the names, without ports.
    """

    def __init__(self, app: ASGIApp, hosts: list[str]):
        self.app, self._hosts = app, {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] == 'http':
            found = _HOST.fullmatch(Headers(scope=scope).get('host', '').lower())
            if found is None or found[1] not in self._hosts:
                reason = 'The server does not answer to this name: start it with --allow-host NAME.'
                await JSONResponse({'detail': reason}, 400)(scope, receive, send)
                return
        elif scope['type'] == 'websocket':
            return  # the server has none
        await self.app(scope, receive, send)
