"""A server whose pipeline runs in the process of the tests."""

import json
from pathlib import Path

import pytest

from dualattn_mm.apis import ColorizationPipeline
from dualattn_mm.utils.errors import UserError

# What needs the extra is imported by the fixtures: the tests are skipped where it is missing.


@pytest.fixture(autouse=True)
def log_files_of_other_tests_stay_open(monkeypatch):
    """uvicorn configures the logging of its process, which closes the files of all other logs."""
    monkeypatch.setattr('logging.config.dictConfig', lambda config: None)


class InProcess:
    """Colorizes as the process of a server does, or raises `refusal`."""

    works = True

    def __init__(self, pipe):
        self.pipe, self.refusal, self.tasks = pipe, None, []
        self.about = {
            'network': 'UniformColor',
            'file': 'uniform.safetensors',
            'saturation': '1.0',
        }

    async def call(self, task, seconds):
        self.tasks.append(json.loads(json.dumps(task)))
        if self.refusal:
            raise self.refusal
        from dualattn_mm.web.upload import colorize_upload, status_of

        source, folder = Path(task.pop('source')), Path(task.pop('folder'))
        try:
            return colorize_upload(self.pipe, source, folder, max_frames=3, **task)
        except UserError as error:
            return {'error': str(error), 'status': status_of(error)}


@pytest.fixture
def worker(uniform_color):
    pipe = ColorizationPipeline.from_generator(uniform_color(), 32, max_pixels=5000)
    return InProcess(pipe)


@pytest.fixture
def service(worker, tmp_path):
    from dualattn_mm.web.limits import Limits
    from dualattn_mm.web.service import Service

    limits = Limits(bytes=200_000, pixels=5000, frames=3, requests=2, seconds=60)
    return Service(worker, limits, tmp_path)
