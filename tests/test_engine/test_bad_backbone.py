"""A backbone that cannot be, in mmpretrain's config: one line from tools/train.py."""

from pathlib import Path

import pytest

from dualattn_mm.engine.run import train
from dualattn_mm.utils.command import run_command

CONFIG = Path(__file__).resolve().parents[2] / 'configs' / 'mmpretrain' / 'cls_dualattn_t.py'


@pytest.mark.parametrize(
    ('name', 'value', 'allowed'),
    [
        ('arch', 'huge', "one of ('tiny', 'small', 'base') or a dict"),
        ('window_size', 0, 'a positive integer'),
        ('head_dim', 7, 'a divisor of every embed_dim'),
        ('group_dim', 64, 'a divisor of every embed_dim, but not of [96]'),
        ('out_indices', [3, 1], 'increasing stage numbers'),
        ('order', ['sda', 'swin'], 'a sequence of kinds from'),
    ],
)
def test_wrong_backbone_argument_is_reported_in_one_line(
    openmmlab, tmp_path, capsys, name, value, allowed
):
    options = {f'model.backbone.{name}': value}
    assert run_command(lambda: train(str(CONFIG), str(tmp_path), cfg_options=options)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f'error: {name}=')
    assert allowed in error
