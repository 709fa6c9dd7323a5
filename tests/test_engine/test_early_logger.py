"""What a person sees of a training that has just begun."""

import os
import re

import pytest

from dualattn_mm.engine.run import train


@pytest.fixture
def logged(config, tmp_path):
    """Trains to a step and gives the log's text."""

    def run(steps, resume=None, **options):
        name = f'run-{os.urandom(4).hex()}'
        changes = {
            'experiment_name': name,
            'log_level': 'INFO',
            'train_cfg.max_iters': steps,
            'default_hooks.logger.interval': 12,
            'default_hooks.checkpoint.interval': steps,
        }
        train(str(config), str(tmp_path / 'work'), resume, cfg_options=changes | options)
        [log] = (tmp_path / 'work').glob('*/*.log')
        text = log.read_text()
        log.unlink()  # a training that starts in the same second would continue it
        return text

    return run


def steps_in(log):
    return [int(step) for step in re.findall(r'Iter\(train\) \[ *(\d+)/\d+\].* eta: \d', log)]


def test_the_first_steps_and_the_last_are_logged_with_the_time_left(logged):
    log = logged(24)
    assert steps_in(log) == [1, 2, 5, 10, 12, 24]
    assert "(log_level = 'DEBUG' lists them)" in log
    assert 'before_run:' not in log
    # and of a training that goes on
    assert steps_in(logged(40, 'auto')) == [25, 26, 29, 34, 36, 40]


def test_the_hooks_are_in_the_debug_log(logged):
    assert re.search(r'DEBUG - before_run:\n\(VERY_HIGH', logged(1, log_level='DEBUG'))
