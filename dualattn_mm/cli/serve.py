"""`dualattn serve`: a page in the browser, and a REST interface."""

import argparse
import os
import re
from importlib.util import find_spec

from ..utils.arguments import natural
from ..utils.command import DONE
from ..utils.terminal import print_line
from .options import add_network_arguments

EPILOG = (
    'Ctrl-C stops the server. Without the page, POST /api/colorize, GET /api/health and GET '
    '/api/version remain; /api/openapi.json describes them.'
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.description = (
        'Serve a page for colorizing photos and videos in the browser, and a REST interface. '
        'Uploads of the REST interface are deleted after the answer, those of the page an hour '
        'after their last use. Nothing is sent to other servers.'
    )
    add = parser.add_argument
    add(
        '--host',
        default='127.0.0.1',
        metavar='ADDRESS',
        help='address to listen on; the default (%(default)s) is reachable from this machine only, '
        '0.0.0.0 from all networks. There is no login',
    )
    add('--port', type=int, default=7860, help='port to listen on (default: %(default)s)')
    add(
        '--allow-host',
        type=_host_name,
        action='append',
        default=[],
        metavar='NAME',
        help='also answer requests that call the server by this name, which is that of a reverse '
        'proxy; repeatable. Other names are then refused, whatever the --host',
    )
    add('--no-page', action='store_true', help='serve the REST interface only')
    add_network_arguments(parser)
    limits = parser.add_argument_group('limits', 'Uploads beyond a limit are refused.')
    add = limits.add_argument
    add(
        '--max-megabytes',
        type=natural,
        default=64,
        metavar='N',
        help='size of an upload (default: %(default)s)',
    )
    add(
        '--max-pixels',
        type=natural,
        default=100_000_000,
        metavar='N',
        help='pixels of a photo, or of a frame of a video (default: 100 million)',
    )
    add(
        '--max-frames',
        type=natural,
        default=1500,
        metavar='N',
        help='frames of a video or an animation (default: %(default)s)',
    )
    add(
        '--max-requests',
        type=natural,
        default=32,
        metavar='N',
        help='uploads that are received, wait or are colorized at the same time '
        '(default: %(default)s)',
    )
    add(
        '--timeout',
        type=natural,
        default=120,
        metavar='SECONDS',
        help='time to receive an upload, to wait for the ones before it, and to colorize it; each '
        'of the three may take this long (default: %(default)s)',
    )


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM."""
    from ..utils.configs_dir import find_config
    from ..utils.errors import UserError
    from ..utils.libraries import library

    for name in ('fastapi', 'uvicorn', 'python_multipart'):
        library(name, 'dualattn serve', "'dualattn_mm[web]'")
    # It is imported by `add_page`, after the settings, which it reads only once.
    if not args.no_page and find_spec('gradio') is None:
        raise UserError(
            "gradio is needed for the page: pip install 'dualattn_mm[web]' in an environment "
            'without mmagic, or pass --no-page'
        )
    from ..web.limits import Limits
    from ..web.run import serve

    limits = Limits(
        bytes=args.max_megabytes * 2**20,
        pixels=args.max_pixels,
        frames=args.max_frames,
        requests=args.max_requests,
        seconds=args.timeout,
    )
    config = None if args.config is None else os.path.abspath(find_config(args.config))
    weights = None if args.weights is None else os.path.abspath(args.weights)
    settings = dict(weights=weights, config=config, device=args.device, size=args.size)
    serve(settings, limits, args.host, args.port, not args.no_page, args.allow_host, print_line)
    return DONE


def _host_name(text: str) -> str:
    if not re.fullmatch(r'[\w.-]+|\[[0-9a-fA-F:.]+\]', text):
        raise argparse.ArgumentTypeError(
            f'{text!r} is not a host name, such as photos.example.org without a port'
        )
    return text
