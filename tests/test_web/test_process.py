"""The process that colorizes: its start, and what happens when it does not start."""

import asyncio
import contextlib
import os

import pytest
from processes import PATIENCE

from dualattn_mm.utils.errors import UserError

pytest.importorskip('fastapi', reason="needs the extra 'web'")
from dualattn_mm.web import process as web_process
from dualattn_mm.web.limits import Refused


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Return a function that makes a `WorkerProcess` which runs a script."""

    def fake(script):
        (tmp_path / 'fake').mkdir(exist_ok=True)
        (tmp_path / 'fake' / 'worker.py').write_text(script)
        return web_process.WorkerProcess({}, tmp_path)

    monkeypatch.setattr(web_process, '__package__', 'fake')
    monkeypatch.setattr(web_process, '_PACKAGES', tmp_path)
    return fake


@contextlib.asynccontextmanager
async def started(worker):
    try:
        await worker.start()
        yield
    finally:
        await worker.stop()


@pytest.mark.parametrize(('length', 'starts'), [(100_000, True), (2**24, False)])
def test_weights_may_have_long_metadata(fake, length, starts):
    worker = fake(f"print('{{\"notes\": \"' + 'x' * {length} + '\"}}', flush=True)")

    async def start():
        async with started(worker):
            pass

    with contextlib.nullcontext() if starts else pytest.raises(UserError, match='cannot start'):
        asyncio.run(start())
    assert len(worker.about.get('notes', '')) == (length if starts else 0)


def test_relative_paths_of_packages_are_those_of_the_server(fake, tmp_path, monkeypatch):
    for folder in ('here', 'here/a', 'here/b'):
        (tmp_path / folder).mkdir()
    (tmp_path / 'here' / 'a' / 'first_of_ours.py').write_text('NAME = "first"')
    (tmp_path / 'here' / 'b' / 'second_of_ours.py').write_text('NAME = "second"')
    monkeypatch.chdir(tmp_path / 'here')
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join(['a', str(tmp_path / 'here' / 'b')]))
    worker = fake(
        'import json, first_of_ours, second_of_ours\n'
        'print(json.dumps({"names": first_of_ours.NAME + second_of_ours.NAME}), flush=True)'
    )

    async def start():
        async with started(worker):
            pass

    asyncio.run(start())
    assert worker.about == {'names': 'firstsecond'}


ONCE = """
import json, os, sys, time
sys.stdin.readline()
if os.path.exists('{folder}/hang'):
    time.sleep(900)
if os.path.exists('{folder}/gone'):
    sys.exit(print(json.dumps({{'error': 'no weights'}})))
print(json.dumps({{}}), flush=True)
for line in sys.stdin:
    if 'crash' in line:
        sys.exit()
    print(json.dumps({{'result': 'done'}}), flush=True)
"""


async def answer(worker, seconds, **task):
    try:
        return (await worker.call(task, seconds))['result']
    except Refused as refusal:
        return refusal.status_code


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


def test_a_process_that_hangs_at_its_start_is_not_waited_for_without_end(
    fake, tmp_path, monkeypatch
):
    monkeypatch.setattr(web_process, '_RETRY_SECONDS', 0.1)
    worker = fake(ONCE.format(folder=tmp_path))

    async def run():
        async with started(worker):
            monkeypatch.setattr(web_process, '_START_SECONDS', 3)
            (tmp_path / 'hang').touch()
            assert await answer(worker, PATIENCE, crash=True) == 500
            assert await answer(worker, 0.1) == 503
            assert not worker.works  # at once, not only when the start is given up
            (tmp_path / 'hang').unlink()
            await until(lambda: worker.works)
            assert await answer(worker, PATIENCE) == 'done'

    asyncio.run(run())


def test_a_process_that_ends_between_two_tasks_costs_none_of_them(fake, tmp_path):
    worker = fake(ONCE.format(folder=tmp_path))

    async def run():
        async with started(worker):
            assert await answer(worker, PATIENCE) == 'done'
            worker._process.kill()
            await worker._process.wait()
            assert await answer(worker, PATIENCE) == 'done'
            assert worker.works

    asyncio.run(run())


def test_the_log_says_why_no_process_starts(fake, tmp_path, capsys):
    worker = fake(ONCE.format(folder=tmp_path))

    async def run():
        async with started(worker):
            (tmp_path / 'gone').touch()
            assert await answer(worker, PATIENCE, crash=True) == 500
            await until(lambda: not worker.works)
            assert await answer(worker, PATIENCE) == 503

    asyncio.run(run())
    assert capsys.readouterr().err == 'warning: the server cannot colorize: no weights\n'
