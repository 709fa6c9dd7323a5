"""Answer only those requests that call the server by a known name, and no forms of strangers."""

import re

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_HOST = re.compile(r'(\[[0-9a-f:.]+\]|[^:]+)(:\d+)?')


class KnownHosts:
    """An ASGI application in front of another one.

    Requests under other names are answered with 400: without it, a page of a stranger could call a
    server on this machine under a name of its own. What a page of another site posts is answered
    with 403: without it, any page could let the server work.

    Args:
        app: the application.
        hosts: the names, without ports; addresses of IPv6 are in brackets.
    """

    def __init__(self, app: ASGIApp, hosts: list[str]):
        self.app, self._hosts = app, {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] == 'http':
            if refusal := self._refusal(scope['method'], Headers(scope=scope)):
                await refusal(scope, receive, send)
                return
        elif scope['type'] == 'websocket':
            return  # the server has none
        await self.app(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> JSONResponse | None:
        if not self._knows(headers.get('host', '')):
            reason = 'The server does not answer to this name: start it with --allow-host NAME.'
            return JSONResponse({'detail': reason}, 400)
        origin = headers.get('origin')
        known = origin is None or self._knows(origin.partition('://')[2])
        if method == 'POST' and (headers.get('sec-fetch-site') == 'cross-site' or not known):
            reason = (
                'The server takes no uploads from pages of other sites: if the page is its own, '
                'start it with --allow-host NAME.'
            )
            return JSONResponse({'detail': reason}, 403)
        return None

    def _knows(self, place: str) -> bool:
        """Tell whether a place, which is a name with or without a port, has a known name."""
        found = _HOST.fullmatch(place.lower())
        return found is not None and found[1] in self._hosts
