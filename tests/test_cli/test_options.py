import argparse

import pytest

from dualattn_mm.cli.options import add_run_arguments, run_arguments


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser()
    add_run_arguments(parser)
    return parser


def test_run_arguments(parser):
    args = parser.parse_args(['c.py', '--cfg-options', 'a.b=1', 'c=[1,2]', '--local-rank=1'])
    assert run_arguments(args) == dict(
        config='c.py', work_dir=None, cfg_options={'a.b': 1, 'c': [1, 2]}, launcher='none'
    )


def test_options_without_a_value_are_refused(parser, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(['c.py', '--cfg-options', 'a'])
    assert '--cfg-options expects KEY=VALUE pairs, got a' in capsys.readouterr().err


@pytest.mark.parametrize('launcher', ['none', 'pytorch', 'slurm', 'mpi'])
def test_launchers_of_mmengine_are_accepted(parser, launcher):
    assert parser.parse_args(['c.py', f'--launcher={launcher}']).launcher == launcher
