"""A kill at any moment, played by an exception after the n-th change of a file."""

import errno
import os
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from mmengine.hooks import Hook

from dualattn_mm.utils.command import error_line

HOOKS = [dict(type='PlainCheckpointHook'), dict(type='RepeatableHook')]


class Killed(BaseException):
    pass


class KillAfter:
    """Raises after `moment` calls of what changes files."""

    def __init__(self, moment):
        self.left = moment

    def __enter__(self):
        self.patches = [
            patch(f'os.{name}', self.counted(getattr(os, name)))
            for name in ('fsync', 'replace', 'remove')
        ]
        for each in self.patches:
            each.start()
        return self

    def __exit__(self, *exc):
        for each in self.patches:
            each.stop()

    def counted(self, function):
        def call(*args, **kwargs):
            function(*args, **kwargs)
            self.left -= 1
            if self.left == 0:
                raise Killed

        return call


class Best(Hook):
    """Plays a validation after each checkpoint, better every time."""

    priority = 'LOWEST'

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter % 2:
            # mmengine validates when the loop's counter has gone on.
            runner.train_loop._iter += 1
            (saver,) = [hook for hook in runner.hooks if hasattr(hook, 'save_best')]
            saver.after_val_epoch(runner, dict(score=runner.iter))
            runner.train_loop._iter -= 1


SAFE = dict(type='SafeCheckpointHook', max_keep_ckpts=1)


@pytest.mark.slow
@pytest.mark.parametrize('best', [False, True])
def test_training_resumes_after_a_kill_at_any_change_of_a_file(make_runner, tmp_path, best):
    checkpoint = dict(SAFE, **(dict(save_best='score', rule='greater') if best else {}))
    hooks = HOOKS + ([Best()] if best else [])
    expected = make_runner(hooks, max_iters=6, checkpoint=checkpoint).train().state_dict()
    moment, kills = 0, 0
    killed = True
    while killed:
        moment += 1
        work_dir = tmp_path / str(moment)
        killed = False
        with KillAfter(moment):
            try:
                make_runner(hooks, max_iters=6, checkpoint=checkpoint, name=str(moment)).train()
            except Killed:
                killed = True
        last = work_dir / 'last_checkpoint'
        resumes = last.is_file()
        # The first checkpoint and last_checkpoint take two changes each.
        assert resumes or moment <= 3
        if killed and resumes:
            kills += 1
            torch.load(last.read_text(), weights_only=True)
            # The first checkpoint takes four changes, the first best one the next two.
            assert bool(list(work_dir.glob('best_*.pth'))) == (best and moment >= 6)
            resumed = make_runner(
                hooks, max_iters=6, checkpoint=checkpoint, name=str(moment), resume=True
            )
            torch.testing.assert_close(resumed.train().state_dict(), expected, rtol=0, atol=0)
            assert resumed.iter == 6
            assert (work_dir / 'iter_6.pth').is_file()
    assert kills > 8


def test_full_disk_is_a_line_that_names_the_checkpoint_before(make_runner, tmp_path, monkeypatch):
    """The disk is full at the second checkpoint."""
    write = os.fsync
    calls = []

    def fsync(fd):
        calls.append(fd)
        if len(calls) == 3:  # a checkpoint and its pointer take one each
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(fd)

    monkeypatch.setattr(os, 'fsync', fsync)
    with pytest.raises(OSError, match='No space left') as caught:
        make_runner(HOOKS, max_iters=6, checkpoint=SAFE).train()
    folder = tmp_path / 'run'
    assert error_line(caught.value) == (
        f'{folder}/iter_4.pth: No space left on device; training stops, and --resume continues '
        f'from {folder}/iter_2.pth'
    )
    assert [path.name for path in folder.glob('*.pth')] == ['iter_2.pth']
    assert not list(folder.glob('.*.tmp'))
    resumed = make_runner(HOOKS, max_iters=6, checkpoint=SAFE, resume=True)
    resumed.train()
    assert resumed.iter == 6


class Pointer(Hook):
    """Tells at the end of each step whether there is a `last_checkpoint`."""

    priority = 'LOWEST'

    def __init__(self):
        self.seen = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.seen.append(Path(runner.work_dir, 'last_checkpoint').is_file())


def test_the_first_step_of_a_new_training_forgets_the_checkpoint_of_an_earlier_one(
    make_runner, tmp_path
):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'last_checkpoint').write_text('iter_4.pth')
    for steps, resume, seen in ((2, False, [False, True]), (4, True, [True, True])):
        pointer = Pointer()
        make_runner([*HOOKS, pointer], max_iters=steps, checkpoint=SAFE, resume=resume).train()
        assert pointer.seen == seen


def test_as_many_are_kept_as_asked(make_runner, tmp_path):
    for name, resume in (('run', False), ('run', True)):
        runner = make_runner(
            HOOKS,
            max_iters=14 if resume else 6,
            name=name,
            checkpoint=dict(SAFE, max_keep_ckpts=2),
            param_scheduler=None,
            resume=resume,
        )
        runner.train()
    files = {path.name for path in (tmp_path / 'run').iterdir() if path.is_file()}
    assert {name for name in files if 'iter' in name} == {'iter_12.pth', 'iter_14.pth'}
    assert (tmp_path / 'run' / 'last_checkpoint').read_text().endswith('iter_14.pth')
