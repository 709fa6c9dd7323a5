"""The page, with Gradio and in a real browser. `bash tools/env.sh web` makes the environment."""

import asyncio
import errno
import io
import json
import os
import re
import shutil
import socket
import threading
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import wait_until

pytest.importorskip('gradio', reason='Gradio is not installed (bash tools/env.sh web)')
import httpx
import uvicorn
from fastapi.testclient import TestClient
from starlette.concurrency import run_in_threadpool

from dualattn_mm.utils.errors import UserError
from dualattn_mm.web import page as page_module
from dualattn_mm.web.app import create_app
from dualattn_mm.web.limits import Limits
from dualattn_mm.web.page import add_page
from dualattn_mm.web.page_files import PageFiles
from dualattn_mm.web.service import Service
from dualattn_mm.web.upload import colorize_upload

BROWSER = shutil.which('chromium') or shutil.which('chromium-browser')


@pytest.fixture
def app(service):
    app = create_app(service, ['127.0.0.1', 'localhost', 'testserver'])
    add_page(app, service)
    return app


@pytest.fixture
def client(app):
    with TestClient(app) as client:
        yield client


def png(size=(60, 40), seed=0):
    pixels = np.random.default_rng(seed).integers(60, 200, (size[1], size[0]), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG')
    return buffer.getvalue()


def upload(client, data, name):
    response = client.post('/gradio_api/upload', files={'files': (name, data)})
    assert response.status_code == 200, response.text
    return response.json()[0]


def join(client, *paths, saturation=1.0):
    """Ask Gradio for the colorized files, as its page does."""
    files = [
        {'path': path, 'orig_name': 'x_y.png', 'meta': {'_type': 'gradio.FileData'}}
        for path in paths
    ]
    config = client.get('/config').json()
    calls = config['dependencies']
    call = next(call for call in calls if 'click' in (event for _, event in call['targets']))
    body = {'data': [files, saturation, None], 'fn_index': call['id'], 'session_hash': 'abc'}
    return client.post('/gradio_api/queue/join', json=body)


def events(client):
    """Yield what Gradio tells the page until the call has ended."""
    with client.stream('GET', '/gradio_api/queue/data?session_hash=abc') as lines:
        for line in lines.iter_lines():
            if line.startswith('data:'):
                yield json.loads(line[5:])


def run(client, *paths, **options):
    """Colorize files as the page does; return what it then shows, as text."""
    assert join(client, *paths, **options).status_code == 200
    (last,) = (event for event in events(client) if event['msg'] == 'process_completed')
    return json.dumps(last['output'])


def test_the_browser_may_load_and_send_nothing_elsewhere(client):
    path = upload(client, b'<script>alert(1)</script>', 'a.png')
    for answer in (client.get('/'), client.get(f'/gradio_api/file={path}')):
        assert answer.status_code == 200
        directives = answer.headers['content-security-policy'].split(';')
        policy = {name: set(sources) for name, *sources in map(str.split, directives)}
        assert policy['default-src'] == policy['form-action'] == policy['base-uri'] == {"'self'"}
        assert policy['frame-ancestors'] == {"'none'"}
        # Parts of a page may come from itself, or be in it; no source is an address or a pattern.
        inside = {"'self'", "'none'", "'unsafe-inline'", "'unsafe-eval'", 'data:', 'blob:'}
        assert set().union(*policy.values()) <= inside
        assert answer.headers['x-content-type-options'] == 'nosniff'
        assert answer.headers['referrer-policy'] == 'no-referrer'


def test_uploads_have_names_of_ours_and_can_be_fetched(client, service):
    for name in ('../../x.png', 'a.PNG', 'x' * 300 + '.exe', '.mp4'):
        path = Path(upload(client, b'content', name))
        assert path.parents[1] == service.folder / 'page'
        assert path.name in ('upload.png', 'upload', 'upload.mp4')
        assert client.get(f'/gradio_api/file={path}').content == b'content'
    response = client.post('/gradio_api/upload', files={'files': ('a.png', bytes(200_001))})
    assert (response.status_code, response.json()) == (
        413,
        {'detail': 'The file is larger than 200,000 bytes.'},
    )


@pytest.fixture
def stranger():
    """The address of a server that must not be called, and the calls."""
    calls = []
    with socket.create_server(('127.0.0.1', 0)) as listener:

        def accept():
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()
                    calls.append(1)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f'http://127.0.0.1:{listener.getsockname()[1]}/x.png', calls


def test_files_of_others_and_addresses_are_never_read(client, service, tmp_path, stranger):
    address, calls = stranger
    secret = tmp_path / 'secret.png'
    secret.write_bytes(png())
    known = upload(client, png(), 'a.png')
    (service.folder / 'page' / 'link.png').symlink_to(secret)
    paths = [
        '/etc/passwd',
        str(secret),
        address,
        f'{service.folder}/page/../secret.png',
        f'{service.folder}/page/link.png',
        f'{known}/../../../secret.png',
        'secret.png',
        'file:///etc/passwd',
        f'{service.folder}/page',
        os.path.dirname(known),
        f'{service.folder}/page/*/upload.png',
        f'{service.folder}/page/{"[0-9a-f]" * 32}/upload.png',
    ]
    for path in paths:
        assert client.get(f'/gradio_api/file={path}').status_code == 404, path
        assert client.head(f'/gradio_api/file={path}').status_code == 405, path
        assert join(client, path).status_code == 400, path
    assert join(client, known).status_code == 200
    assert not calls


def test_only_what_was_uploaded_is_colorized(client, service, worker):
    victim = Path(upload(client, png(), 'a.png'))
    other = victim.with_name('other.png')
    other.write_bytes(png())
    assert 'It was deleted after an hour: choose it again.' in run(client, str(other))
    assert not worker.tasks
    assert 'Download the result' in run(client, str(victim))


@pytest.mark.parametrize('name', ['*/upload.png', 'a'])
def test_a_pattern_or_a_folder_is_not_colorized(worker, tmp_path, name):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'upload.png').write_bytes(png())
    with pytest.raises(UserError, match='there is no such file'):
        colorize_upload(worker.pipe, tmp_path / name, tmp_path / 'out')


@pytest.mark.parametrize(
    'path',
    [
        'proxy=http://127.0.0.1:1/',
        'call/colorize',
        'call/v2/colorize',
        'run/colorize',
        'api/colorize',
        'component_server',
        'process_recording',
        'openapi.json',
        'vibe-edit',
        'run-history/connect',
        'stream/x/1/2/playlist-file',
        'file/etc/passwd',
        'deep_link',
    ],
)
def test_other_routes_of_gradio_are_closed(client, path):
    for method in ('GET', 'POST', 'HEAD'):
        response = client.request(method, f'/gradio_api/{path}')
        assert response.status_code == 404, method
        assert method == 'HEAD' or response.json() == {'detail': 'There is no such page.'}
    assert client.get('/monitoring').status_code == 404
    assert client.get('/docs').status_code == 404


def test_other_methods_are_refused(client):
    path = upload(client, png(), 'a.png')
    for method in ('HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'):
        response = client.request(method, f'/gradio_api/file={path}')
        assert (response.status_code, response.headers['allow']) == (405, 'GET, POST'), method
    assert client.head('/').status_code == 200  # some programs that watch a server send it


def test_the_page_has_the_address_of_the_reverse_proxy(client):
    headers = {'x-forwarded-host': 'photos.example', 'x-forwarded-proto': 'https'}
    assert client.get('/config', headers=headers).json()['root'] == 'https://photos.example'


def test_the_saturation_of_the_weights_is_within_the_slider(service, worker):
    worker.about['saturation'] = '2.5'
    app = create_app(service)
    add_page(app, service)
    with TestClient(app) as client:
        components = client.get('/config').json()['components']
        (slider,) = (part['props'] for part in components if part['type'] == 'slider')
        assert (slider['value'], slider['maximum']) == (2.5, 2.5)
        path = upload(client, png(), 'a.png')
        assert 'Download the result' in run(client, path, saturation=slider['value'])
    assert worker.tasks[0]['saturation'] == 2.5


def test_many_files_may_have_the_size_of_several(client):
    files = [('files', (name, bytes(120_000))) for name in ('a.png', 'b.png', 'c.png')]
    response = client.post('/gradio_api/upload', files=files)
    assert response.status_code == 200, response.text
    assert [Path(path).stat().st_size for path in response.json()] == [120_000] * 3


def test_a_full_store_takes_and_makes_no_more_files(client, worker):
    path = upload(client, png(), 'a.png')
    client.app.state.page_files._most = 2000
    response = client.post('/gradio_api/upload', files={'files': ('b.png', png())})
    full = 'The store is full. Files are deleted after an hour: try again later.'
    assert (response.status_code, response.json()) == (507, {'detail': full})
    assert 'The store is full' in run(client, path)
    assert not worker.tasks


def test_tiny_files_fill_the_store_too(client, service):
    tiny = [('files', (f'{index}.png', b'x'[: index % 2])) for index in range(900)]
    assert client.post('/gradio_api/upload', files=tiny).status_code == 200
    room = client.app.state.page_files.room()
    assert room <= 64 * service.limits.bytes - 900 * 2 * 4096, 'what a file system needs for them'
    assert client.post('/gradio_api/upload', files=tiny).status_code == 507


def test_no_zip_file_is_made_without_room_for_it(client, monkeypatch):
    paths = [upload(client, png(), 'a.png') for _ in range(2)]
    monkeypatch.setattr(client.app.state.page_files, 'room', lambda: 1)
    shown = run(client, *paths)
    assert 'The store has no room for the ZIP file' in shown
    assert 'Download' not in shown


def test_a_new_run_replaces_the_results_of_the_one_before(client):
    path = upload(client, png(), 'a.png')
    folder = client.app.state.page_files.folder
    first = run(client, path) and set(folder.iterdir())
    second = run(client, path) and set(folder.iterdir())
    assert first & second == {Path(path).parent}
    assert len(second) == len(first) == 2


def age(folder):
    """Make everything in a folder older than an hour."""
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))


def test_the_files_of_a_run_are_kept_until_an_hour_after_it(client, worker):
    files, call = client.app.state.page_files, worker.call

    async def for_hours(task, seconds):
        answer = await call(task, seconds)
        age(files.folder)
        files.tidy()
        return answer

    worker.call = for_hours
    paths = [upload(client, png(seed=seed), 'a.png') for seed in range(3)]
    assert 'Download all 3 results' in run(client, *paths)
    before = set(files.folder.iterdir())
    files.tidy()
    assert set(files.folder.iterdir()) == before


def test_a_film_is_shown_as_it_is_without_programs(client, worker, tmp_path, monkeypatch):
    called = tmp_path / 'called'
    for program in ('ffmpeg', 'ffprobe'):
        script = tmp_path / 'bin' / program
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\necho "$0" >> "{called}"\n')
        script.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path / 'bin'), prepend=os.pathsep)

    async def film(task, seconds):
        result = Path(task['folder']) / 'result.mp4'
        result.write_bytes(b'a film of a kind that browsers do not play')
        return {'result': str(result), 'remark': ''}

    monkeypatch.setattr(worker, 'call', film)
    for _ in range(2):  # the second run replaces the film of the first one
        shown = json.loads(run(client, upload(client, b'film', 'a.mp4')))['data']
        (path,) = (value['path'] for value in shown if value and 'path' in value)
        assert client.get(f'/gradio_api/file={path}').content.startswith(b'a film')
    assert not called.exists(), called.read_text()


def test_a_file_that_was_deleted_has_to_be_chosen_again(client):
    path = upload(client, png(), 'a.png')
    files = client.app.state.page_files
    age(files.folder)
    files.tidy()
    shown = json.loads(run(client, path))['data']
    notes = [value['value'] for value in shown if value and 'deleted' in str(value)]
    assert notes == [r'**x\_y.png:** It was deleted after an hour: choose it again.']


def test_nothing_chosen_is_no_error_of_the_server(client, capfd):
    assert 'Choose a photo or a video first.' in run(client)
    assert 'Traceback' not in capfd.readouterr().err


def test_a_name_that_no_answer_can_contain(client):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="\\ud800.png"\r\n\r\n'
        + png()
        + b'\r\n--x--\r\n'
    )
    kind = {'content-type': 'multipart/form-data; boundary=x; charset=unicode_escape'}
    (path,) = client.post('/gradio_api/upload', content=body, headers=kind).json()
    assert client.app.state.page_files.names[path] == '?.png'
    assert client.get(f'/gradio_api/file={path}').status_code == 200
    assert 'Download the result' in run(client, path)


@pytest.mark.parametrize('path', ['queue/join', 'upload'])
def test_a_request_that_does_not_arrive_is_refused(worker, tmp_path, path):
    sent = []

    async def stalled():
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    app = create_app(Service(worker, Limits(seconds=0.05), tmp_path))
    add_page(app, Service(worker, Limits(seconds=0.05), tmp_path))
    kind = (b'content-type', b'multipart/form-data; boundary=x')
    scope = {
        'type': 'http',
        'method': 'POST',
        'path': f'/gradio_api/{path}',
        'query_string': b'',
        'headers': [(b'host', b'x'), kind],
    }
    asyncio.run(app(scope, stalled, send))
    assert sent[0]['status'] == 408


def test_old_files_are_removed(client, service, monkeypatch):
    path = Path(upload(client, b'content', 'a.png'))
    new = Path(upload(client, b'content', 'a.png'))
    hours_ago = time.time() - 3700
    os.utime(path.parent, (hours_ago, hours_ago))
    files, exists = client.app.state.page_files, os.path.exists

    def exists_while_another_file_comes(name):
        files.names[f'{name}+'] = 'b.png'
        return exists(name)

    monkeypatch.setattr(os.path, 'exists', exists_while_another_file_comes)
    files.tidy()
    assert (path.exists(), new.exists()) == (False, True)
    assert str(path) not in files.names


def test_old_files_are_removed_after_an_error_too(app, monkeypatch, capsys):
    calls = []

    def tidy():
        calls.append(1)
        if len(calls) == 1:
            raise OSError(errno.EMFILE, 'Too many open files')

    monkeypatch.setattr(page_module, '_TIDY_SECONDS', 0.01)
    monkeypatch.setattr(app.state.page_files, 'tidy', tidy)
    with TestClient(app):
        wait_until(lambda: len(calls) > 2, 'the loop goes on')
    assert capsys.readouterr().err == (
        'warning: old files of the page are not removed now: Too many open files\n'
    )


def test_files_may_vanish_while_they_are_counted(tmp_path, monkeypatch):
    files, lstat = PageFiles(tmp_path, 1), os.lstat
    for _ in range(3):
        (files.new_folder() / 'upload').write_bytes(b'abc')

    def lstat_while_all_are_deleted(path):
        size = lstat(path)
        if os.path.basename(path) == 'upload':
            monkeypatch.setattr(os, 'lstat', lstat)
            files.remove(os.listdir(tmp_path))
        return size

    monkeypatch.setattr(os, 'lstat', lstat_while_all_are_deleted)
    assert files.room() == 64 - 3 - 4 * 8192  # three folders and one file


def test_a_closed_page_ends_its_run(app, address, worker):
    entered, go, call = threading.Event(), threading.Event(), worker.call

    async def when_told(task, seconds):
        entered.set()
        await run_in_threadpool(go.wait)
        return await call(task, seconds)

    worker.call = when_told
    gradio = next(route.app for route in app.routes if hasattr(route, 'app') and route.path == '')
    queue = gradio.get_blocks()._queue
    try:
        with httpx.Client(base_url=address, timeout=None, trust_env=False) as client:
            join(client, *(upload(client, png(), 'a.png') for _ in range(3)))
            with client.stream('GET', '/gradio_api/queue/data?session_hash=abc') as lines:
                texts = lines.iter_lines()  # when it is collected, the connection is closed
                next(texts)
                entered.wait()
        wait_until(
            lambda: not any(event.alive for events in queue.active_jobs for event in events or ()),
            'Gradio knows that the page is closed',
        )
    finally:
        go.set()
    wait_until(lambda: not any(queue.active_jobs), 'the run ends')
    assert len(worker.tasks) == 1


# ---- in the browser ----


@pytest.fixture
def address(app):
    """The address of the running server."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level='warning'))
        thread = threading.Thread(target=asyncio.run, args=[server.serve([listener])])
        thread.start()
        yield f'http://127.0.0.1:{listener.getsockname()[1]}/'
        server.should_exit = True
        thread.join()


@pytest.fixture
def page(address):
    """The page in a browser, which must ask no other server for anything."""
    if BROWSER is None:
        pytest.skip('chromium is not installed')
    playwright = pytest.importorskip('playwright.sync_api')
    with (
        playwright.sync_playwright() as p,
        p.chromium.launch(executable_path=BROWSER, args=['--no-sandbox']) as browser,
    ):
        page = browser.new_page(viewport={'width': 1100, 'height': 1000})
        page.set_default_timeout(120_000)
        outside = []
        page.on('request', lambda request: outside.append(request.url))
        page.goto(address)
        button(page, 'Colorize').wait_for()
        yield page
        assert not [u for u in outside if not u.startswith((address, 'data:', 'blob:'))]


def button(page, name):
    return page.get_by_role('button', name=name, exact=True)


def choose(page, *files):
    """Upload files, and wait until the page lists them."""
    page.set_input_files(
        'input[type=file]',
        [{'name': name, 'mimeType': 'image/png', 'buffer': data} for name, data in files],
    )
    page.get_by_text(re.compile(r'\d\s(B|KB)')).nth(len(files) - 1).wait_for()


def download(page, text):
    with page.expect_download() as started:
        page.get_by_text(text).first.click()
    return started.value.suggested_filename, Path(started.value.path()).read_bytes()


@pytest.mark.slow
def test_one_photo_in_the_browser(page, worker):
    choose(page, ('My photo.png', png()))
    page.get_by_label('number input for Saturation').fill('0.5')
    button(page, 'Colorize').click()
    name, data = download(page, 'Download the result')
    assert name == 'My photo.png'
    assert len(worker.tasks) == 1, 'typing the saturation starts no run of its own'
    expected = worker.pipe(Image.open(io.BytesIO(png())), 0.5)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), np.asarray(expected))
    # Before and after.
    page.wait_for_function('[...document.images].filter(i => i.naturalWidth == 60).length == 2')
    page.set_viewport_size({'width': 390, 'height': 844})
    assert page.evaluate('document.documentElement.scrollWidth') <= 390


@pytest.mark.slow
def test_a_film_is_played_in_the_browser(page):
    av = pytest.importorskip('av', reason="needs the extra 'video'")
    buffer = io.BytesIO()
    with av.open(buffer, 'w', format='mp4') as output:
        stream = output.add_stream('libx264', rate=2, width=64, height=48, pix_fmt='yuv420p')
        for value in (60, 90, 120):
            gray = np.full((48, 64), value, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(gray, 'gray')))
        output.mux(stream.encode(None))
    choose(page, ('My film.mp4', buffer.getvalue()))
    button(page, 'Colorize').click()
    page.wait_for_function("document.querySelector('video')?.videoWidth == 64")
    page.evaluate("document.querySelector('video').play()")
    page.wait_for_function("document.querySelector('video').currentTime > 0")
    name, data = download(page, 'Download the result')
    assert name == 'My film.mp4'
    with av.open(io.BytesIO(data)) as film:
        assert len(list(film.decode(video=0))) == 3


@pytest.mark.slow
def test_many_photos_in_the_browser(page, worker):
    files = [('a.png', png(seed=1)), ('b.png', png(seed=2)), ('bad.png', b'no image')]
    choose(page, *files)
    button(page, 'Colorize').click()
    name, data = download(page, 'Download all 2 results')
    assert name == 'colorized.zip'
    page.get_by_role('button', name=re.compile('Thumbnail 2')).click()
    second = f'{worker.tasks[1]["folder"]}/before.png'
    page.wait_for_function(f"[...document.images].some(i => i.src.endsWith('{second}'))")
    archive = zipfile.ZipFile(io.BytesIO(data))
    assert archive.namelist() == ['a.png', 'b.png']
    for stored, (_, original) in zip(archive.namelist(), files, strict=False):
        expected = worker.pipe(Image.open(io.BytesIO(original)), 1.0)
        result = Image.open(io.BytesIO(archive.read(stored)))
        assert np.array_equal(np.asarray(result), np.asarray(expected))
    text = 'The file cannot be colorized: not a JPEG, PNG, WebP, TIFF, BMP, '
    assert page.get_by_text(text).is_visible()
    assert page.get_by_text('bad.png:').is_visible()
