"""Where training was interrupted, and how many processes load, must not be seen in its numbers."""

import pickle
import random
from unittest.mock import patch

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, InfiniteSampler
from mmengine.model import BaseModel
from torch import nn
from torch.utils.data import BatchSampler, Dataset, SequentialSampler

from dualattn_mm.engine.hooks import repeatable
from dualattn_mm.utils.errors import RunError

HOOKS = [dict(type='PlainCheckpointHook'), dict(type='RepeatableHook')]


class Noisy(Dataset):
    """Samples that tell their index and what each generator of random numbers gave."""

    loaded = 0

    def __len__(self):
        return 10

    def __getitem__(self, index):
        Noisy.loaded += 1
        return torch.tensor([index, random.random(), np.random.rand(), torch.rand(()).item()])


class Watcher(BaseModel):
    """Learns a little, with noise of its own, and remembers its batches."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 1)
        self.seen = []

    def forward(self, data, mode):
        noise = [random.random(), np.random.rand(), torch.rand(()).item()]
        self.seen.append((data, torch.tensor(noise)))
        return dict(loss=self.linear(nn.functional.dropout(data)).square().sum() * sum(noise))


def make_watcher():
    torch.manual_seed(0)  # it is made before the Runner seeds
    return Watcher()


LOOPS = {
    'iterations': dict(),
    'iterations in epochs': dict(sampler=dict(type='DefaultSampler', shuffle=True)),
    'epochs': dict(
        sampler=dict(type='DefaultSampler', shuffle=True),
        train_cfg=dict(by_epoch=True, max_epochs=4),
    ),
}


@pytest.fixture
def run(make_runner):
    def run_(name, loop, workers=0, end=None, **kwargs):
        """Train to the end, or until iteration `end`."""
        settings = dict(LOOPS[loop])
        sampler = settings.pop('sampler', dict(type='InfiniteSampler', shuffle=True))
        by_epoch = settings.get('train_cfg', {}).get('by_epoch', False)
        dataset = Noisy()
        runner = make_runner(
            HOOKS,
            name=name,
            model=make_watcher(),
            checkpoint=dict(by_epoch=by_epoch, interval=1 if by_epoch else 4),
            param_scheduler=None,
            train_dataloader=dict(
                batch_size=4,
                sampler=sampler,
                dataset=dataset,
                num_workers=workers,
                persistent_workers=workers > 0,
                collate_fn=lambda batch: dict(data=torch.stack(batch)),
            ),
            **{**dict(max_iters=8), **settings, **kwargs},
        )
        if end is None:
            return runner.train()
        step, model = runner.model.train_step, runner.model

        def stop(*args, **kw):
            if len(model.seen) == end:
                raise KeyboardInterrupt
            return step(*args, **kw)

        model.train_step = stop
        with pytest.raises(KeyboardInterrupt):
            runner.train()
        return model

    return run_


def assert_same(seen, expected):
    assert len(seen) == len(expected)
    for one, other in zip(seen, expected, strict=True):
        for numbers, wanted in zip(one, other, strict=True):
            assert torch.equal(numbers, wanted)


class Named(BaseDataset):
    """Samples with names of files."""

    def load_data_list(self):
        return [dict(img_path=f'{self.data_root}/{name}.png') for name in self.metainfo['names']]

    def prepare_data(self, idx):
        return torch.tensor([idx, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ('folder', 'names', 'warning'),
    [
        ('moved', 'abcdef', None),
        ('./old/', 'abcdef', None),
        ('old', 'abcdefg', '(6 samples before, 7 now)'),
        ('old', 'abcxef', '(6 samples with other names)'),
    ],
)
def test_resuming_with_other_data_is_a_warning(make_runner, monkeypatch, folder, names, warning):
    lines = []
    monkeypatch.setattr(repeatable, 'print_log', lambda text, *_: lines.append(text))

    def train(folder, names, steps, **kwargs):
        data = Named(data_root=folder, metainfo=dict(names=tuple(names)))
        make_runner(
            HOOKS, steps, model=make_watcher(), dataset=data, param_scheduler=None, **kwargs
        ).train()

    train('old', 'abcdef', 2)
    train(folder, names, 4, resume=True)
    assert [line.partition('checkpoint ')[2].partition(':')[0] for line in lines] == (
        [warning] if warning else []
    )


def test_resuming_with_another_batch_is_a_warning(make_runner, monkeypatch):
    lines = []
    monkeypatch.setattr(repeatable, 'print_log', lambda text, *_: lines.append(text))

    def train(steps, samples, **kwargs):
        data = Named(data_root='a', metainfo=dict(names=tuple('abcdef')))
        loader = dict(
            batch_size=samples,
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=data,
            collate_fn=lambda batch: dict(data=torch.stack(batch)),
        )
        make_runner(
            HOOKS, steps, model=make_watcher(), train_dataloader=loader, param_scheduler=None,
            **kwargs,
        ).train()  # fmt: skip

    train(2, 3)
    train(3, 3, resume=True)
    assert not lines
    train(4, 2, resume=True)
    assert [line.partition(':')[0] for line in lines] == [
        'a step had 3 samples before the checkpoint and has 2 now'
    ]


def test_processes_must_start_at_the_same_step(run, monkeypatch):
    """One machine has the checkpoint, and another one, with a folder of its own, does not."""

    def reduce(tensor, op):
        tensor.fill_(min(int(tensor), 0) if op == 'min' else max(int(tensor), 8))

    monkeypatch.setattr(repeatable, 'all_reduce', reduce)
    with pytest.raises(RunError, match=r'start at different steps \(0 to 8\)'):
        run('one', 'iterations')


def test_python_s_random_numbers_are_the_same_in_all_processes(run):
    """So that the network can choose a size that all processes share."""
    draws = []
    for rank in range(2):
        with patch.object(repeatable, 'get_dist_info', return_value=(rank, 2)):
            draws.append([noise for _, noise in run(f'rank{rank}', 'iterations').seen])
    for one, other in zip(*draws, strict=True):
        assert one[0] == other[0]
        assert not torch.isclose(one[1:], other[1:]).any()
    assert len({float(noise[0]) for noise in draws[0]}) > 1


@pytest.mark.parametrize(
    ('loop', 'workers', 'seed'),
    [*((loop, 0, 0) for loop in LOOPS), ('iterations', 0, None), ('iterations', 1, 0)],
)
def test_resumed_is_the_same_as_uninterrupted(run, tmp_path, loop, workers, seed):
    kwargs = dict(randomness=dict(seed=seed))
    # Stops after the checkpoint of iteration 4, or of the first epoch's 3, in the next batches.
    broken = run('broken', loop, workers, end=5, **kwargs)
    resumed = run('broken', loop, workers, resume=True, **kwargs)
    first = torch.load(next((tmp_path / 'broken').glob('*_[41].pth')), weights_only=True)
    whole = run('whole', loop, workers, randomness=dict(seed=first['meta']['seed']))
    if seed is None:
        # Where the seed comes from the checkpoint the weights before it are others.
        state = first['state_dict']
        assert state.keys() == whole.state_dict().keys()
    else:
        torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)
    done = len(whole.seen) - len(resumed.seen)
    assert done == (3 if loop == 'epochs' else 4)
    assert_same(broken.seen[:done] + resumed.seen, whole.seen)
    batches = torch.cat([data for data, _ in whole.seen])
    assert len({tuple(row.tolist()) for row in batches[:, 1:]}) == len(batches)


@pytest.mark.parametrize('loop', ['iterations', 'epochs'])
@pytest.mark.slow
def test_the_number_of_workers_is_not_seen(run, loop):
    assert_same(run('one', loop, workers=1).seen, run('none', loop).seen)


def test_batches_that_are_skipped_are_not_loaded(run):
    run('run', 'iterations', end=5)
    Noisy.loaded = 0
    resumed = run('run', 'iterations', resume=True)
    assert Noisy.loaded == 4 * len(resumed.seen) == 16


def test_two_processes_draw_the_samples_of_one(run):
    whole = run('whole', 'iterations').seen
    halves = []
    for rank in range(2):
        # As processes that do not talk to each other: only who draws what is looked at.
        with (
            patch('mmengine.dataset.sampler.get_dist_info', return_value=(rank, 2)),
            patch.object(repeatable, 'get_dist_info', return_value=(rank, 2)),
        ):
            halves.append(run(f'rank{rank}', 'iterations').seen)
    for (data, noise), (even, same), (odd, other) in zip(whole, *halves, strict=True):
        assert torch.equal(noise, same)  # process 0 is the first of any number
        assert not torch.equal(same, other)  # dropout must not be the same in both
        assert data.shape == even.shape == odd.shape
    one = torch.cat([data for data, _ in whole])
    two = torch.stack([torch.cat([data for data, _ in half]) for half in halves], 1).flatten(0, 1)
    assert torch.equal(one, two[: len(one)])


def test_the_data_set_can_be_used_and_changed_as_before():
    inner = Noisy()
    seeded = repeatable._SeededDataset(inner, 0)
    seeded.pipeline = 'other'
    assert inner.pipeline == seeded.pipeline == 'other'
    assert len(seeded) == 10
    assert seeded[3][0] == 3
    assert isinstance(seeded, Noisy)  # mmdet3d's hooks ask
    again = pickle.loads(pickle.dumps(seeded))  # as a worker gets it
    assert type(again) is repeatable._SeededDataset
    assert again.pipeline == 'other'


@pytest.mark.parametrize('endless', [True, False])
def test_data_without_a_batch_are_an_error(endless):
    batches = BatchSampler(SequentialSampler(range(3)), batch_size=4, drop_last=True)
    message = '3 samples of this process give no batch of 4 with drop_last: set a smaller train_d'
    with pytest.raises(RunError, match=message):
        next(iter(repeatable._NumberedDraws(batches, endless)))


def test_an_endless_sampler_may_give_larger_batches_than_its_data():
    sampler = InfiniteSampler(range(3), shuffle=False)
    batches = BatchSampler(sampler, batch_size=4, drop_last=True)
    draws = next(iter(repeatable._NumberedDraws(batches, endless=True)))
    assert [draw.index for draw in draws] == [0, 1, 2, 0]


@pytest.mark.parametrize('at_once', [0, 2, 3])
def test_batches_skipped_at_once_or_one_by_one_are_the_same(at_once):
    """mmengine's loop asks for each batch that it skips, OneDL's says how many."""
    batches = repeatable._Batches(['first', 'second'], skipped=3)
    batches.skip_iter(at_once)
    assert [next(batches) for _ in range(3 - at_once)] == [None] * (3 - at_once)
    assert list(batches) == ['first', 'second']
