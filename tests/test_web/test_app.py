"""The REST interface, with the pipeline in this process."""

import asyncio
import io
import json
import mimetypes
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('fastapi', reason="needs the extra 'web'")
from fastapi.testclient import TestClient

from dualattn_mm.utils.films import FILM_SUFFIXES
from dualattn_mm.utils.image_io import OUTPUT_FORMATS, SUFFIXES
from dualattn_mm.web.app import _MEDIA_TYPES, create_app
from dualattn_mm.web.limits import Limits, Refused
from dualattn_mm.web.service import Service

LIMITS = Limits(seconds=5, requests=2)


@pytest.fixture
def client(service):
    with TestClient(create_app(service)) as client:
        yield client
    assert not list(service.folder.iterdir())  # every request left nothing behind


def photo(format_='PNG', size=(60, 40), **options):
    pixels = np.random.default_rng(0).integers(60, 200, (size[1], size[0]), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format_, **options)
    return buffer.getvalue()


def colorize(client, data, name='old.png', **fields):
    return client.post('/api/colorize', files={'file': (name, data)}, data=fields)


@pytest.mark.parametrize(
    ('stored', 'asked', 'kind', 'media_type', 'suffix'),
    [
        ('PNG', None, 'PNG', 'image/png', '.png'),
        ('JPEG', None, 'JPEG', 'image/jpeg', '.jpg'),
        ('BMP', None, 'PNG', 'image/png', '.png'),
        ('WEBP', None, 'WEBP', 'image/webp', '.webp'),
        ('PNG', 'JPEG', 'JPEG', 'image/jpeg', '.jpg'),
        ('JPEG', 'tif', 'TIFF', 'image/tiff', '.tif'),
        ('JPEG', 'webp', 'WEBP', 'image/webp', '.webp'),
    ],
)
def test_a_photo_keeps_its_format_or_gets_the_one_asked_for(
    client, worker, stored, asked, kind, media_type, suffix
):
    data = photo(stored)
    response = colorize(client, data, 'a b.x.dat', **({'format': asked} if asked else {}))
    assert response.status_code == 200, response.text
    assert response.headers['content-type'] == media_type
    assert f'a%20b.x{suffix}' in response.headers['content-disposition']
    result = Image.open(io.BytesIO(response.content))
    assert (result.format, result.size, result.mode) == (kind, (60, 40), 'RGB')
    if kind == 'PNG':
        expected = worker.pipe(Image.open(io.BytesIO(data)))
        assert np.array_equal(np.asarray(result), np.asarray(expected))


def test_every_result_has_a_media_type_on_every_system():
    results = {SUFFIXES[format_][0] for format_ in OUTPUT_FORMATS} | {*FILM_SUFFIXES, '.gif'}
    known = mimetypes.MimeTypes(filenames=()).types_map[True] | _MEDIA_TYPES
    assert results <= known.keys()


def test_saturation_is_that_of_the_pipeline(client, worker):
    data = photo()
    for saturation in (0.0, 0.5):
        result = Image.open(io.BytesIO(colorize(client, data, saturation=saturation).content))
        expected = worker.pipe(Image.open(io.BytesIO(data)), saturation)
        assert np.array_equal(np.asarray(result), np.asarray(expected))


def test_an_animation_keeps_its_frames(client):
    frame = Image.linear_gradient('L').resize((20, 20))
    buffer = io.BytesIO()
    frame.save(buffer, 'GIF', save_all=True, append_images=[frame.rotate(90)], duration=100)
    response = colorize(client, buffer.getvalue(), 'moves.gif')
    assert response.headers['content-type'] == 'image/gif'
    assert Image.open(io.BytesIO(response.content)).n_frames == 2


def test_the_name_of_the_upload_is_not_used_for_files(client, worker):
    for name in ('../../../../etc/passwd', 'a\\b\0c.png', 'x' * 3000 + '.jpg', '.mp4/.png', '…'):
        assert colorize(client, photo(), name).status_code == 200
        assert Path(worker.tasks[-1]['source']).name in ('upload', 'upload.jpg', 'upload.png')
    assert colorize(client, b'none', '../up.MP4').status_code in (415, 422)
    assert Path(worker.tasks[-1]['source']).name == 'upload.mp4'


def test_a_remark_is_a_header(client):
    data = io.BytesIO()
    page = Image.fromarray(np.full((9, 9), 100, np.uint8))
    page.save(data, 'TIFF', save_all=True, append_images=[page])
    response = colorize(client, data.getvalue())
    assert response.headers['remark'] == 'only the first page was colorized'


def test_other_characters_of_a_remark_are_percent_encoded(client, worker):
    call, remark = worker.call, 'not kept: “Ä”, 5 % of a_b (c-d~e.f;\r\n)'

    async def call_with_remark(task, seconds):
        return await call(task, seconds) | {'remark': remark}

    worker.call = call_with_remark
    response = colorize(client, photo())
    assert response.headers['remark'] == (
        'not kept: %E2%80%9C%C3%84%E2%80%9D, 5 %25 of a_b (c-d~e.f;%0D%0A)'
    )


def animation(frames):
    first, *rest = (Image.new('L', (9, 9), 40 * index) for index in range(frames))
    buffer = io.BytesIO()
    first.save(buffer, 'GIF', save_all=True, append_images=rest)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ('data', 'fields', 'status', 'reason'),
    [
        (b'', {}, 422, 'The file cannot be colorized: the file is empty.'),
        (b'hello', {}, 415, 'not a JPEG, PNG, WebP, TIFF, BMP, '),
        (photo()[:900], {}, 422, 'cannot be read: '),
        (photo(size=(100, 51)), {}, 413, 'the size of 100 x 51 exceeds the limit of 5,000 pixels'),
        (animation(4), {}, 413, 'it has more than 3 frames.'),
        (bytes(200_001), {}, 413, 'The file is larger than 200,000 bytes.'),
        (bytes(300_000), {}, 413, 'The file is larger than 200,000 bytes.'),
        (photo(), {'format': 'bmp'}, 422, 'format: must be one of JPEG, '),
        (photo(), {'format': '/x/y'}, 422, 'format: must be one of JPEG, '),
        (photo(), {'saturation': '-1'}, 422, 'saturation: Input should be greater than'),
        (photo(), {'saturation': 'nan'}, 422, 'saturation: Input should be a finite number'),
        (photo(), {'saturation': 'red'}, 422, 'saturation: Input should be a valid number'),
        (photo(transparency=100), {'format': 'JPEG'}, 422, 'JPEG cannot store transparency'),
        (animation(2), {'format': 'JPEG'}, 422, '.jpg files have only one frame'),
    ],
)
def test_what_cannot_be_colorized_is_refused_in_one_sentence(client, data, fields, status, reason):
    response = colorize(client, data, **fields)
    detail = response.json()['detail']
    assert (response.status_code, detail.count('\n')) == (status, 0)
    assert reason in detail
    assert detail.endswith('.')
    assert '/upload' not in detail, 'no path of the server'
    assert colorize(client, photo()).status_code == 200


def test_a_film_keeps_its_format(client):
    response = colorize(client, b'film', 'a.mp4', format='PNG')
    assert response.status_code == 422
    assert 'a video keeps its own' in response.json()['detail']


def test_a_request_without_a_file(client):
    response = client.post('/api/colorize', data={'file': '/etc/passwd'})
    assert response.status_code == 422
    assert response.json()['detail'].startswith('file: ')
    assert client.post('/api/colorize', content=b'x').status_code == 422


def test_a_second_file_is_refused(client):
    files = [('file', ('a.png', photo())), ('file', ('b.png', photo()))]
    response = client.post('/api/colorize', files=files)
    assert (response.status_code, response.json()) == (
        422,
        {'detail': 'file: a request has only one.'},
    )


def test_a_name_that_no_answer_can_contain(client):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="\\ud800.png"\r\n\r\n'
        + photo()
        + b'\r\n--x--\r\n'
    )
    kind = {'content-type': 'multipart/form-data; boundary=x; charset=unicode_escape'}
    response = client.post('/api/colorize', content=body, headers=kind)
    assert response.status_code == 200, response.text
    assert response.headers['content-disposition'].endswith('%3F.png')


def test_an_internal_error_is_one_sentence(service, worker):
    worker.refusal = RuntimeError('secret')
    with TestClient(create_app(service), raise_server_exceptions=False) as client:
        response = colorize(client, photo())
    assert (response.status_code, response.json()) == (
        500,
        {'detail': "Internal error; see the server's log."},
    )


@pytest.mark.parametrize(('status', 'reason'), [(504, 'too slow'), (500, 'it crashed')])
def test_the_refusal_of_the_process_is_the_answer(client, worker, status, reason):
    worker.refusal = Refused(status, reason)
    response = colorize(client, photo())
    assert (response.status_code, response.json()) == (status, {'detail': reason})
    assert 'retry-after' not in response.headers


def test_a_body_of_unknown_length_is_limited(client):
    def parts():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(9):
            yield bytes(50_000)
        yield b'\r\n--x--\r\n'

    headers = {'content-type': 'multipart/form-data; boundary=x'}
    response = client.post('/api/colorize', content=parts(), headers=headers)
    assert response.status_code == 413
    assert response.json()['detail'] == 'The file is larger than 200,000 bytes.'


def test_health_version_and_description(client):
    assert client.get('/api/health').json() == {'status': 'ok', 'waiting': 0}
    version = client.get('/api/version').json()
    assert version['weights']['network'] == 'UniformColor'
    assert version['limits']['frames'] == 3
    description = client.get('/api/openapi.json').json()
    operation = description['paths']['/api/colorize']['post']
    assert {'200', '400', '403', '408', '413', '415', '422', '500', '503', '504'} == set(
        operation['responses']
    )
    for page in ('/docs', '/redoc', '/openapi.json', '/api/colorize'):
        assert client.get(page).status_code in (404, 405)


def test_a_server_that_cannot_colorize_is_not_healthy(client, worker):
    worker.works = False
    response = client.get('/api/health')
    assert (response.status_code, response.json()) == (
        503,
        {'detail': 'The server cannot colorize; its log says why.'},
    )
    assert int(response.headers['retry-after']) > 0


def test_only_known_hosts_are_answered(service):
    app = create_app(service, ['localhost', '127.0.0.1', '[::1]', 'Photos.example'])
    hosts = {
        'localhost:7860': 200,
        'LOCALHOST': 200,
        '[::1]:7860': 200,
        'photos.example': 200,
        'evil.example': 400,
        'localhost.evil.example': 400,
        'evil.example:localhost': 400,
        '': 400,
    }
    with TestClient(app) as client:
        for host, status in hosts.items():
            response = client.get('/api/health', headers={'host': host})
            assert response.status_code == status, host
            assert status == 200 or 'does not answer to this name' in response.json()['detail']


@pytest.mark.parametrize(
    ('headers', 'status'),
    [
        ({}, 200),
        ({'origin': 'http://localhost:7860', 'sec-fetch-site': 'same-origin'}, 200),
        ({'origin': 'http://[::1]:7860'}, 200),
        ({'origin': 'https://Photos.example', 'sec-fetch-site': 'same-origin'}, 200),
        ({'origin': 'https://evil.example'}, 403),
        ({'origin': 'https://localhost.evil.example'}, 403),
        ({'origin': 'null'}, 403),
        ({'origin': 'http://localhost', 'sec-fetch-site': 'cross-site'}, 403),
        ({'sec-fetch-site': 'cross-site'}, 403),
    ],
)
def test_pages_of_other_sites_send_nothing(service, worker, headers, status):
    app = create_app(service, ['localhost', '[::1]', 'photos.example'])
    with TestClient(app, base_url='http://localhost:7860', headers=headers) as client:
        response = colorize(client, photo())
        assert response.status_code == status, response.text
        assert len(worker.tasks) == (status == 200)
        assert client.get('/api/health').status_code == 200


class Slow:
    """Answers when it is told to."""

    works = True

    def __init__(self):
        self.about = {}
        self.entered, self.go = asyncio.Event(), asyncio.Event()

    async def call(self, task, seconds):
        self.entered.set()
        await self.go.wait()
        return {'result': task['source'], 'remark': ''}


async def call(app, body=b'', headers=(), receive=None, before_body=None):
    """Send one request to an ASGI application; return the status and the body of the answer.

    `before_body` is awaited before the client receives the body of the answer.
    """
    sent = []

    parts = [{'type': 'http.request', 'body': body}]

    async def given():
        if not parts:
            await asyncio.sleep(60)  # the client keeps the connection
        return parts.pop()

    async def send(message):
        if before_body and message['type'] == 'http.response.body':
            await before_body()
        sent.append(message)

    scope = {
        'type': 'http',
        'method': 'POST',
        'path': '/api/colorize',
        'query_string': b'',
        'headers': [(b'host', b'x'), *headers],
    }
    await app(scope, receive or given, send)
    retry = dict(sent[0]['headers']).get(b'retry-after', b'')
    assert retry.isdigit() == (sent[0]['status'] == 503)
    return sent[0]['status'], b''.join(m.get('body', b'') for m in sent[1:])


MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc\r\n--x--\r\n'
)
TYPE = (b'content-type', b'multipart/form-data; boundary=x')


def test_more_requests_than_allowed_are_refused(tmp_path):
    async def run():
        worker = Slow()
        app = create_app(Service(worker, LIMITS, tmp_path))
        first = [asyncio.create_task(call(app, MULTIPART, [TYPE])) for _ in range(2)]
        await worker.entered.wait()
        refused = await call(app, MULTIPART, [TYPE])
        worker.go.set()
        return refused, await asyncio.gather(*first), await call(app, MULTIPART, [TYPE])

    (status, answer), others, later = asyncio.run(run())
    assert (status, json.loads(answer)['detail']) == (
        503,
        'The server is busy. Try again in a few seconds.',
    )
    assert [*others, later] == [(200, b'abc')] * 3


def test_slow_downloads_do_not_count_as_requests(tmp_path):
    async def run():
        worker, started, accept = Slow(), asyncio.Semaphore(0), asyncio.Event()
        worker.go.set()
        app = create_app(Service(worker, LIMITS, tmp_path))

        async def before_body():
            started.release()
            await accept.wait()

        request = app, MULTIPART, [TYPE]
        slow = [asyncio.create_task(call(*request, before_body=before_body)) for _ in range(2)]
        for _ in slow:
            await started.acquire()
        later = [(await call(*request))[0] for _ in range(3)]
        accept.set()
        return await asyncio.gather(*slow), later

    slow, later = asyncio.run(run())
    assert slow == [(200, b'abc')] * 2
    assert later == [200] * 3


def test_an_upload_that_waits_too_long_is_refused(tmp_path):
    async def run():
        service = Service(Slow(), Limits(seconds=0.05), tmp_path)
        app = create_app(service)
        await service._turn.acquire()
        return await call(app, MULTIPART, [TYPE]), service.waiting

    (status, answer), waiting = asyncio.run(run())
    assert (status, waiting) == (503, 0)
    assert b'busy' in answer


def test_an_upload_that_does_not_arrive_is_refused(tmp_path):
    async def run():
        async def stalled():
            await asyncio.sleep(60)

        app = create_app(Service(Slow(), Limits(seconds=0.05), tmp_path))
        return await call(app, headers=[TYPE], receive=stalled)

    status, answer = asyncio.run(run())
    assert status == 408
    assert b'not received within 0.05 seconds' in answer
