"""`dualattn serve` as a process: its start, its end, and a file that crashes or takes too long."""

import asyncio
import contextlib
import errno
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from PIL import Image
from processes import PATIENCE, wait_until
from skimage.data import chelsea

from dualattn_mm.apis import ColorizationPipeline, save_generator
from dualattn_mm.cli.main import main

pytest.importorskip('fastapi', reason="needs the extra 'web'")
import uvicorn

from dualattn_mm.web import run as web_run
from dualattn_mm.web.worker import _load

ROOT = Path(__file__).resolve().parents[2]
# A proxy of the environment does not reach the server on this machine.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
PHOTO = Image.fromarray(chelsea()[::3, ::3]).convert('L')


def post(address, data):
    """Send a file; return the status and the answer."""
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        + data
        + b'\r\n--x--\r\n'
    )
    kind = {'Content-Type': 'multipart/form-data; boundary=x'}
    request = urllib.request.Request(f'{address}/api/colorize', body, kind)
    try:
        with DIRECT.open(request, timeout=PATIENCE) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, 'PNG')
    return buffer.getvalue()


class Server:
    def __init__(self, folder, *options):
        self.folder = folder
        serve = ['-m', 'dualattn_mm', 'serve', '--no-page', '--port', '0', '--size', '32']
        self.process = subprocess.Popen(
            [sys.executable, *serve, *options],
            cwd=ROOT,
            env={**os.environ, 'TMPDIR': str(folder), 'OMP_NUM_THREADS': '1'},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.address = self.process.stdout.readline().split()[0]

    @property
    def workers(self) -> list[int]:
        """The ids of the processes that colorize: one, and while it is replaced none or two."""
        pid = self.process.pid
        return [
            int(child) for child in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
        ]

    def end(self, number):
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        self.process.stdout.close()


@pytest.fixture
def server(tmp_path):
    servers = []

    def start(*options):
        servers.append(Server(tmp_path, *options))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)


@pytest.mark.slow
def test_a_server_outlives_its_worker_and_leaves_nothing(server):
    server = server('--timeout', '900', '--host', '127.0.0.2')
    status, answer = post(server.address, png(PHOTO))
    assert status == 200
    result = np.asarray(Image.open(io.BytesIO(answer)), int)
    expected = ColorizationPipeline(device='cpu', size=32)(PHOTO)
    assert np.abs(result - np.asarray(expected, int)).max() <= 1
    # The next file is colorized by a new process, even if no task noticed that the old one ended.
    (worker,) = server.workers
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: post(server.address, png(PHOTO))[0] == 200, 'another process')
    server.end(signal.SIGTERM)
    assert server.process.returncode == 0
    assert not list(server.folder.iterdir())


@pytest.mark.slow
def test_a_file_that_takes_too_long_is_given_up_and_a_killed_server_leaves_nothing(server):
    server = server('--timeout', '3')
    (worker,) = server.workers
    os.kill(worker, signal.SIGSTOP)
    status, answer = post(server.address, png(PHOTO))
    assert status == 504
    assert json.loads(answer)['detail'] == 'The file was not colorized within 3 seconds.'
    wait_until(lambda: not Path(f'/proc/{worker}/fd').exists(), 'the stopped process is killed')
    wait_until(lambda: server.workers not in ([], [worker]), 'a new process starts')
    (worker,) = server.workers
    (folder,) = server.folder.iterdir()
    (folder / 'upload').touch()
    server.end(signal.SIGKILL)
    wait_until(lambda: not folder.exists(), 'the worker removes the folder')
    wait_until(lambda: not Path(f'/proc/{worker}/fd').exists(), 'the worker ends, too')


@pytest.mark.slow
def test_weights_that_cannot_be_used_are_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    assert main(['serve', '--no-page', '--port', '0', '--weights', 'none.safetensors']) == 2
    out, err = capsys.readouterr()
    assert (out, err.count('\n')) == ('', 1)
    assert err.startswith('error: ')
    assert 'none.safetensors' in err
    assert not list(tmp_path.iterdir())


def test_an_address_in_use_is_one_line(capsys):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(['serve', '--no-page', '--port', port]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count('\n')) == ('', 1)
    assert f'cannot listen on 127.0.0.1, port {port} (Address already in use)' in err


@pytest.mark.slow
def test_an_address_that_is_taken_while_the_server_starts_is_one_line(capfd, monkeypatch):
    async def taken(*_, **__):
        raise OSError(errno.EADDRINUSE, 'Address already in use')

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, 'create_server', taken)
    assert main(['serve', '--no-page', '--port', '0', '--size', '32']) == 2
    out, err = capfd.readouterr()
    assert (out, err.count('\n')) == ('', 1)
    assert re.match(
        r'error: cannot listen on 127\.0\.0\.1, port \d+ \(Address already in use\)', err
    )


# After an answer, uvicorn itself closes a connection that sends nothing more.
@pytest.mark.parametrize(
    ('first', 'silent'),
    [
        (b'', b''),
        (b'', b'GET /api/health HTTP/1.1\r\nHost: '),
        (b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', b'GET /api/health HTTP/1.1\r\nHost: '),
    ],
)
def test_a_connection_without_a_complete_request_is_closed(monkeypatch, first, silent):
    monkeypatch.setattr(web_run, '_SILENT_SECONDS', 0.5)
    ready = asyncio.Event()

    async def app(scope, receive, send):
        await asyncio.sleep(1)  # longer than the silence that is allowed
        await send({'type': 'http.response.start', 'status': 204, 'headers': []})
        await send({'type': 'http.response.body'})

    async def run():
        config = uvicorn.Config(app, http=web_run._Connection, lifespan='off', log_level='warning')
        with socket.create_server(('127.0.0.1', 0)) as listener:
            server = web_run._Server(config, ready.set)
            task = asyncio.create_task(server.serve([listener]))
            await ready.wait()
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            if first:
                writer.write(first)
                assert (await reader.readuntil(b'\r\n\r\n')).startswith(b'HTTP/1.1 204')
            writer.write(silent)
            assert await reader.read() == b''
            writer.close()
            server.should_exit = True
            await task

    asyncio.run(asyncio.wait_for(run(), PATIENCE))


@pytest.mark.parametrize(
    ('host', 'allowed', 'known', 'unknown'),
    [
        ('127.0.0.1', [], 'localhost', 'photos.example'),
        ('127.0.0.1', ['a.example', 'photos.example'], 'photos.example', 'evil.example'),
        ('0.0.0.0', [], None, None),
        ('0.0.0.0', ['photos.example'], 'photos.example', 'evil.example'),
        ('127.0.0.2', ['photos.example'], '127.0.0.2', 'evil.example'),
    ],
)
def test_names_of_a_reverse_proxy_can_be_allowed(monkeypatch, host, allowed, known, unknown):
    found = []

    async def serve(settings, limits, listener, page, hosts, ready):
        found.append(hosts)

    monkeypatch.setattr(web_run, '_serve', serve)
    options = [word for name in allowed for word in ('--allow-host', name)]
    assert main(['serve', '--no-page', '--port', '0', '--host', host, *options]) == 0
    (hosts,) = found
    assert (hosts is None) == (known is None)
    if known:
        assert known in hosts
        assert unknown not in hosts


def test_an_address_of_ipv6_is_known_as_requests_name_it(monkeypatch, capsys):
    found = []

    async def serve(settings, limits, listener, page, hosts, ready):
        found.extend(hosts)
        ready()

    listener = SimpleNamespace(getsockname=lambda: ('2001:db8::1', 80, 0, 0))
    monkeypatch.setattr(web_run, '_bound', lambda host, port: contextlib.nullcontext(listener))
    monkeypatch.setattr(web_run, '_serve', serve)
    words = ['--no-page', '--host', '2001:db8::1', '--allow-host', 'photos.example']
    assert main(['serve', *words]) == 0
    assert {'[2001:db8::1]', 'photos.example'} < set(found)
    assert 'http://[2001:db8::1]:80 ' in capsys.readouterr().out


def test_limits_are_those_of_the_options(monkeypatch):
    found = []

    async def serve(settings, limits, listener, page, hosts, ready):
        found.append(limits)

    monkeypatch.setattr(web_run, '_serve', serve)
    options = '--max-megabytes 2 --max-pixels 3 --max-frames 4 --max-requests 5 --timeout 6'
    assert main(['serve', '--no-page', '--port', '0', *options.split()]) == 0
    expected = dict(bytes=2 * 1024**2, pixels=3, frames=4, requests=5, seconds=6)
    assert list(map(vars, found)) == [expected]


def test_an_address_is_no_name_to_allow(capsys):
    assert main(['serve', '--no-page', '--allow-host', 'https://photos.example']) == 2
    assert 'is not a host name, such as photos.example.org' in capsys.readouterr().err


def test_what_is_known_of_the_weights_is_that_of_the_network_of_the_config(tiny, tmp_path):
    weights, config = tmp_path / 'tiny.safetensors', tmp_path / 'c.py'
    save_generator(weights, MODELS.build(tiny), dict(tiny, saturation=1.5))
    config.write_text(f'model = dict(generator=dict({tiny!r}, saturation=0.5))')
    _, about, _ = _load(str(weights), str(config), 'cpu', 64, 9999, 9)
    assert (about['network'], about['saturation']) == ('MultiscalePyramidTransformer', '0.5')
    assert (about['file'], about['image size']) == ('tiny.safetensors', '64')
    checkpoint = tmp_path / 'c.pth'
    state = {f'generator.{name}': value for name, value in MODELS.build(tiny).state_dict().items()}
    torch.save(dict(state_dict=state), checkpoint)
    _, about, _ = _load(str(checkpoint), str(config), 'cpu', None, 9999, 9)
    assert (about['network'], about['saturation']) == ('MultiscalePyramidTransformer', '0.5')


def test_missing_gradio_is_one_line_that_names_the_extra(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    assert main(['serve']) == 2
    out, err = capsys.readouterr()
    assert (out, err.count('\n')) == ('', 1)
    assert err == (
        "error: gradio is needed for the page: pip install 'dualattn_mm[web]' in an environment "
        'without mmagic, or pass --no-page\n'
    )


def test_gradio_is_not_imported_before_its_settings_are_made(tmp_path, monkeypatch):
    async def serve(*_):
        pass

    (tmp_path / 'gradio.py').write_text('raise RuntimeError("too early")')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(web_run, '_serve', serve)
    assert main(['serve', '--port', '0']) == 0


def test_gradio_that_cannot_be_imported_is_one_line(tmp_path, monkeypatch, capfd):
    (tmp_path / 'gradio.py').write_text('from huggingface_hub import no_such_name')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'gradio', raising=False)  # else the server would start
    assert main(['serve', '--port', '0', '--size', '32']) == 2
    out, err = capfd.readouterr()
    assert (out, err.count('\n')) == ('', 1)
    assert err.startswith('error: gradio is needed for the page (cannot import name')
