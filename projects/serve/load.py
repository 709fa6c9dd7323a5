#!/usr/bin/env python
"""Send many requests at once to `dualattn serve`, and check every answer, its health and memory.

Photos, an animation, damaged files and wrong arguments are mixed. Each answer must be the right
image or the refusal that belongs to the file; a busy server may refuse any.
"""

import argparse
import io
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import httpx2 as httpx
import numpy as np
import psutil
from PIL import Image

BUSY = 503


class Request(NamedTuple):
    """A file, the form fields, and what the answer must be: an image size or a status."""

    name: str
    data: bytes
    fields: dict[str, str]
    size: tuple[int, int] | None
    status: int = 200


@dataclass
class Health:
    """The time of the slowest health check in seconds, and how many failed."""

    slowest: float = 0.0
    failures: int = 0


def main() -> None:
    """Run the load and print a summary; the exit status is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--requests', type=int, default=200, help='default: %(default)s')
    parser.add_argument('--at-once', type=int, default=16, help='default: %(default)s')
    parser.add_argument('--minutes', type=float, default=0, help='repeat for this long: a soak')
    parser.add_argument('--every', type=float, default=0, help='seconds between two requests')
    parser.add_argument(
        '--serve',
        nargs=argparse.REMAINDER,
        default=['--no-page'],
        help='options of the server; everything after --serve',
    )
    args = parser.parse_args()
    command = [sys.executable, '-m', 'dualattn_mm', 'serve', '--port', '0', *args.serve]
    root = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, 'TMPDIR': folder}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=root, env=environment
        ) as server:
            try:
                assert server.stdout
                line = server.stdout.readline()
                if not line:
                    sys.exit('error: the server did not start')
                address = line.split()[0]
                failures = run(address, server, Path(folder), args)
            finally:
                server.terminate()
    sys.exit(bool(failures))


def run(address: str, server: subprocess.Popen, folder: Path, args: argparse.Namespace) -> int:
    """Send the requests and print what came of them; return how many answers were wrong."""
    pid = server.pid
    kinds = requests()
    send_all(address, kinds, args.at_once)  # the first ones load and allocate what stays
    before, start = memory(pid), time.monotonic()
    stop, health = threading.Event(), Health()
    watcher = threading.Thread(target=watch, args=(address, stop, health))
    watcher.start()
    outcomes: Counter[str] = Counter()
    try:
        while not outcomes or time.monotonic() - start < 60 * args.minutes:
            todo = list(itertools.islice(itertools.cycle(kinds), args.requests))
            outcomes += send_all(address, todo, args.at_once, args.every)
            if server.poll() is not None:
                sys.exit(f'error: the server ended; answers: {dict(outcomes)}')
            print(f'{time.monotonic() - start:.0f} s: {resources(pid, folder)}', flush=True)
    finally:
        stop.set()
        watcher.join()
    after = memory(pid)
    print(dict(outcomes))
    print(
        f'{sum(outcomes.values()) / (time.monotonic() - start):.1f} answers per second; memory '
        f'{before / 1e6:.0f} -> {after / 1e6:.0f} MB ({after / before - 1:+.1%}); slowest health '
        f'check {health.slowest:.2f} s, {health.failures} failed'
    )
    if not outcomes['ok']:
        sys.exit('error: no photo was colorized')
    wrong = sum(n for what, n in outcomes.items() if what.startswith('WRONG'))
    return wrong + health.failures


def requests() -> list[Request]:
    """Return the kinds of requests."""
    rng = np.random.default_rng(0)

    def photo(width: int, height: int, format_: str, mode: str = 'L') -> bytes:
        small = rng.integers(0, 256, (height // 20, width // 20), dtype=np.uint8)
        image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        image.convert(mode).save(buffer, format_)
        return buffer.getvalue()

    frame = Image.linear_gradient('L').resize((64, 48))
    moving = io.BytesIO()
    frame.save(moving, 'GIF', save_all=True, append_images=[frame.rotate(90), frame.rotate(180)])
    jpeg = photo(640, 480, 'JPEG')
    large = photo(2000, 1500, 'JPEG')
    return [
        Request('a.jpg', jpeg, {}, (640, 480)),
        Request('b.png', photo(400, 300, 'PNG'), {'saturation': '0.5'}, (400, 300)),
        Request('c.webp', photo(640, 480, 'WEBP', 'RGB'), {'format': 'png'}, (640, 480)),
        Request('d.jpg', large, {}, (2000, 1500)),
        Request('e.tif', photo(300, 200, 'TIFF'), {'format': 'jpeg'}, (300, 200)),
        Request('f.gif', moving.getvalue(), {}, (64, 48)),
        Request('half.jpg', jpeg[: len(jpeg) // 2], {}, None, 422),
        Request('empty.png', b'', {}, None, 422),
        Request('text.jpg', b'no image', {}, None, 415),
        Request('film.mp4', b'no film', {}, None, 422),
        Request('g.jpg', jpeg, {'saturation': 'much'}, None, 422),
        Request('h.jpg', jpeg, {'format': 'exe'}, None, 422),
    ]


def send_all(address: str, todo: list[Request], at_once: int, every: float = 0) -> Counter[str]:
    """Send requests, some at once, and count the answers by what they are."""

    def paced() -> Iterator[Request]:
        for request in todo:
            yield request
            time.sleep(every)

    with connect(address) as client, ThreadPoolExecutor(at_once) as pool:
        return Counter(pool.map(lambda request: send(client, request), paced()))


def connect(address: str) -> httpx.Client:
    """Return a client that calls the server itself, whatever proxy the environment names."""
    return httpx.Client(base_url=address, timeout=None, trust_env=False)


def send(client: httpx.Client, request: Request) -> str:
    """Send a request; return 'ok' or 'busy', or what is wrong."""
    try:
        response = client.post(
            '/api/colorize', files={'file': (request.name, request.data)}, data=request.fields
        )
    except httpx.HTTPError as error:
        return f'WRONG {request.name}: {type(error).__name__}: {error}'
    if response.status_code == BUSY:
        return 'busy'
    if response.status_code != request.status:
        return f'WRONG {request.name}: {response.status_code} {response.text[:200]}'
    if request.size is None:
        return (
            f'refused ({response.status_code})' if response.json()['detail'] else 'WRONG: no word'
        )
    image = Image.open(io.BytesIO(response.content))
    image.load()
    return 'ok' if image.size == request.size else f'WRONG {request.name}: {image.size}'


def watch(address: str, stop: threading.Event, health: Health) -> None:
    """Check the health several times a second, and count in `health`."""
    with connect(address) as client:
        while not stop.wait(0.2):
            start = time.monotonic()
            try:
                client.get('/api/health').raise_for_status()
            except httpx.HTTPError:
                health.failures += 1
            health.slowest = max(health.slowest, time.monotonic() - start)


def memory(pid: int) -> int:
    """Return the resident memory of a process and its children, in bytes."""
    return sum(process.memory_info().rss for process in family(pid))


def family(pid: int) -> list[psutil.Process]:
    """Return a process and its children."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def resources(pid: int, folder: Path) -> str:
    """Return what the server uses, and the number of its temporary files."""
    processes = family(pid)
    files = sum(len(names) for _, _, names in os.walk(folder))  # some vanish meanwhile
    return (
        f'{memory(pid) / 1e6:.0f} MB, {sum(p.num_fds() for p in processes)} open files, '
        f'{sum(p.num_threads() for p in processes)} threads, {files} temporary files'
    )


if __name__ == '__main__':
    main()
