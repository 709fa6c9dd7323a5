"""A pipeline that is quick and gives one color."""

import pytest

from dualattn_mm.apis import ColorizationPipeline


@pytest.fixture
def pipe(uniform_color):
    return ColorizationPipeline.from_generator(uniform_color(), size=32, batch_size=4)
