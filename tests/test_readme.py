"""The README's Python, as printed there."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

README = (Path(__file__).parents[1] / 'README.md').read_text(encoding='utf-8')
BLOCKS = re.findall(r'```python\n(.*?)```', README, flags=re.DOTALL)


def block(word):
    (found,) = [text for text in BLOCKS if word in text]
    return found


def test_plain_module():
    names = {}
    exec(block('DualAttention('), names)
    assert [tuple(m.shape) for m in names['maps']] == [
        (1, 192, 60, 80),
        (1, 384, 30, 40),
        (1, 768, 15, 20),
    ]


def test_mmdet_config(tmp_path, openmmlab):
    path = tmp_path / 'config.py'
    path.write_text(block('mmdet::'))
    cfg = Config.fromfile(path)
    model = openmmlab['mmdet'].MODELS.build(cfg.model).eval()
    assert type(model.backbone).__name__ == 'DualAttention'
    with torch.no_grad():
        maps = model.extract_feat(torch.rand(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps[:2]] == [(256, 16, 24), (256, 8, 12)]


@pytest.mark.parametrize('path', re.findall(r'(?:tools|docs|configs)/[\w/]+\.\w+', README))
def test_files_that_are_named_exist(path):
    assert (Path(__file__).parents[1] / path).is_file()
