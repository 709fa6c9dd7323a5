"""Run a server until it is stopped."""

import asyncio
import ipaddress
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..utils.errors import UserError, reason_of
from .app import create_app
from .limits import Limits
from .service import started_service

_SILENT_SECONDS = 20
_LOCAL_NAMES = ['localhost', '127.0.0.1', '[::1]']


def serve(
    settings: dict[str, Any],
    limits: Limits,
    host: str,
    port: int,
    page: bool,
    allowed_hosts: list[str],
    say: Callable[[str], None],
) -> None:
    """Serve until the process receives SIGINT or SIGTERM.

    Args:
        settings: weights, config, device and size, as of `ColorizationPipeline`.
        limits: the limits of the server.
        host, port: the address to listen on; 0 is any free port.
        page: whether to serve the page, too.
        allowed_hosts: names by which the server may be called besides those of this machine. If
            there are none, a server that other machines can reach answers to every name.
        say: called with the address when the server is ready.

    Raises:
        UserError: if the weights cannot be used, or the address is not available.
    """
    with _bound(host, port) as listener:
        address, number = listener.getsockname()[:2]
        name = f'[{address}]' if ':' in address else address  # as in a URL and in requests
        local = ipaddress.ip_address(address).is_loopback
        hosts = [*_LOCAL_NAMES, name, *allowed_hosts] if local or allowed_hosts else None
        asyncio.run(
            _serve(
                settings,
                limits,
                listener,
                page,
                hosts,
                lambda: say(f'http://{name}:{number} (Ctrl-C stops)'),
            )
        )


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket with this address. It only listens when the server is ready."""
    bound = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise _unavailable(host, port, error) from None
    return bound


def _unavailable(host: str, port: int, error: Exception) -> UserError:
    return UserError(
        f'cannot listen on {host}, port {port} ({reason_of(error)}): '
        'choose another --host or --port'
    )


async def _serve(
    settings: dict[str, Any],
    limits: Limits,
    listener: socket.socket,
    page: bool,
    hosts: list[str] | None,
    ready: Callable[[], None],
) -> None:
    async with started_service(settings, limits) as service:
        app = create_app(service, hosts)
        if page:
            from .page import add_page  # Gradio takes long to import

            add_page(app, service)
        config = uvicorn.Config(
            app,
            http=_Connection,
            log_level='warning',
            access_log=False,
            timeout_graceful_shutdown=5,
        )
        # uvicorn stops at a signal, and then passes it on to the handlers that it found.
        before = {s: signal.signal(s, _ignore) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            await _Server(config, ready).serve([listener])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Server(uvicorn.Server):
    """Calls `ready` as soon as it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]):
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except OSError as error:  # another server has started to listen meanwhile
            await self.lifespan.shutdown()
            assert sockets is not None
            host, port = sockets[0].getsockname()[:2]
            raise _unavailable(host, port, error) from None
        self._ready()


class _Connection(H11Protocol):
    """A connection that is closed after a while without a complete request.

    uvicorn waits for the first request without end.
    """

    _silence: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._limit_silence()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._limit_silence()

    def _limit_silence(self) -> None:
        at_work = self.cycle is not None and not self.cycle.response_complete
        if self._silence is None and not at_work:
            self._silence = self.loop.call_later(_SILENT_SECONDS, self.transport.close)
        elif self._silence is not None and at_work:
            self._silence.cancel()
            self._silence = None


def _ignore(*_: object) -> None:
    pass
