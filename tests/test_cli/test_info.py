import re
import sys

import numpy as np
import pytest
import torch

from dualattn_mm import __version__
from dualattn_mm.apis import save_generator
from dualattn_mm.cli.main import main
from dualattn_mm.utils.configs_dir import config_names


def lines(capsys, *argv):
    assert main(['info', *map(str, argv)]) == 0
    out, err = capsys.readouterr()
    assert err == ''
    return out.splitlines()


def test_environment(capsys):
    shown = dict(line.split(': ', 1) for line in lines(capsys))
    assert shown['dualattn_mm'].startswith(f'{__version__} in ')
    assert shown['Python'] == f'{sys.version.split()[0]} in {sys.prefix}'
    assert shown['torch'] == torch.__version__.split('+')[0]
    assert {'mmengine', 'mmdet', 'numpy', 'GPU'} <= set(shown)
    assert shown['numpy'] == np.__version__


def test_configs(capsys):
    assert lines(capsys, '--configs') == config_names()


def test_weights_that_come_with_the_package(capsys):
    shown = dict(line.split(': ', 1) for line in lines(capsys, '--weights'))
    assert shown['network'] == 'MultiscalePyramidTransformer'
    assert (shown['saturation'], shown['image size']) == ('1.39', '192')


def test_weights_of_a_stranger_cannot_forge_lines(capsys, tmp_path, two_convs):
    path = tmp_path / 'x.safetensors'
    save_generator(path, two_convs(), {'type': 'TwoConvs\nnetwork: ours\x1b[1A', 'width': 4})
    shown = lines(capsys, '--weights', path)
    assert r'network: TwoConvs\nnetwork: ours\x1b[1A' in shown
    assert 'network: ours' not in shown


def test_size_and_cost_of_a_config_by_name(capsys):
    argv = ('mmagic/color_dualattn_mini', '--depth', 1)
    shown = '\n'.join(lines(capsys, *argv, '--shape', 128, 128))
    assert 'mmagic/color_dualattn_mini: at 128 x 128' in shown
    assert '│ whole   │  9,349,088 │ 1,023,430,656 │ 1.023 │' in shown
    assert re.search(r'mini: at (\d+) x \1\n', '\n'.join(lines(capsys, *argv)))


@pytest.mark.parametrize('argv', [['--shape', '0', '5'], ['--depth', '-1']])
def test_numbers_below_one_are_refused(capsys, argv):
    assert main(['info', 'mmagic/color_dualattn_mini', *argv]) == 2
    assert 'is not a positive integer' in capsys.readouterr().err


def test_one_thing_at_a_time(capsys):
    assert main(['info', 'mmagic/color_dualattn_mini', '--configs']) == 2
    assert 'not allowed with' in capsys.readouterr().err
