"""Randomness that depends on where training is, not on how it came there."""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import broadcast, get_dist_info, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from .training_data import training_data

_SAMPLE, _MODEL = 0, 1  # streams of random numbers


def _seed_cpu(*numbers: int) -> int:
    """Seed every generator of the CPU, and return torch's seed."""
    words = np.random.SeedSequence(numbers).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    seed = int(words[2]) << 32 | int(words[3])
    torch.default_generator.manual_seed(seed)
    return seed


def _seed_all(*numbers: int) -> None:
    torch.manual_seed(_seed_cpu(*numbers))


@contextmanager
def unchanged_randomness() -> Iterator[None]:
    """What is drawn in here, nobody misses afterwards."""
    states = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


class _Draw(NamedTuple):
    """A sample to load, and its number over all processes."""

    index: int
    epoch: int
    number: int


class _NumberedDraws:
    """A batch sampler that numbers the samples of another one.

    Args:
        batches: the batch sampler of this process.
        endless: start over at the end, as mmengine does in training by iterations.
        skipped: number of batches that are left out at the start.
    """

    def __init__(self, batches: BatchSampler, endless: bool, skipped: int = 0) -> None:
        self.batches = batches
        self.endless = endless
        self.skipped = skipped
        self.epoch = 0

    @property
    def sampler(self) -> Sampler:
        return self.batches.sampler

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[_Draw]]:
        rank, world_size = get_dist_info()
        position = 0
        for count, batch in enumerate(self._rounds()):
            if count >= self.skipped:
                # Samplers deal the samples out in turn: all processes together draw what one would.
                numbers = range(rank + position * world_size, 1 << 62, world_size)
                yield [_Draw(i, self.epoch, n) for i, n in zip(batch, numbers, strict=False)]
            position += len(batch)

    def _rounds(self) -> Iterator[list[int]]:
        yield from self.batches
        count = 0
        while self.endless:
            count += 1
            if hasattr(self.sampler, 'set_epoch'):
                self.sampler.set_epoch(count)
            yield from self.batches


class _SeededDataset(Dataset):
    """Seeds what the transforms draw from before each sample; else the data set it is given."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.__dict__.update(_dataset=dataset, _seed=seed)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):  # asked for while it is unpickled in a worker
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._dataset, name, value)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, draw: _Draw | int) -> Any:
        if not isinstance(draw, _Draw):
            return self._dataset[draw]
        # Not the GPU's: that takes 0.3 ms, and transforms run on the CPU.
        _seed_cpu(self._seed, _SAMPLE, draw.epoch, draw.number)
        return self._dataset[draw.index]


class _Batches:
    """The batches of a loader that starts at the first batch which is not skipped."""

    def __init__(self, loader: DataLoader, skipped: int) -> None:
        self._loader = loader
        self._to_skip = skipped
        self._batches: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        # mmengine's loop asks for the batches that it skips, and ignores them.
        if self._to_skip:
            self._to_skip -= 1
            return None
        if self._batches is None:
            self._batches = iter(self._loader)
        return next(self._batches)

    def skip_iter(self, number: int) -> None:
        """Skip so many batches at once, as the loop of OneDL's mmengine asks."""
        self._to_skip -= min(number, self._to_skip)


@HOOKS.register_module()
class RepeatableHook(Hook):
    """Make a resumed training the same as one that was never interrupted.

    Random numbers come from the seed and the place alone: in the data pipeline from the number of
    the sample drawn, in the model from the process and the iteration. So neither the number of
    workers nor of processes changes the samples, and resuming skips batches without loading them.
    Checkpoints keep which data they were trained on, and a warning says that others are resumed on.
    """

    # Before hooks that look at the data loader.
    priority = 'VERY_HIGH'

    _data: dict | None = None
    _data_before: dict | None = None  # of the training that is resumed

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if runner._resume:
            self._data_before = checkpoint.get('meta', {}).get('training_data')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if self._data is not None:
            checkpoint['meta']['training_data'] = self._data

    def before_train(self, runner: Runner) -> None:
        # Rank 0's is what the checkpoint keeps; with diff_rank_seed the others' differ.
        seed = torch.tensor(runner.seed)
        broadcast(seed)
        self.seed = int(seed)
        self.rank = get_dist_info()[0]
        loop = runner.train_loop
        if loop.dataloader.batch_sampler is None:
            return  # an iterable data set, which nothing can be numbered in
        if is_main_process():
            self._compare_data(loop.dataloader.dataset)
        by_iterations = isinstance(loop, IterBasedTrainLoop)
        done = runner.iter if by_iterations else 0
        loop.dataloader = self._repeatable(loop.dataloader, by_iterations, done)
        if by_iterations:
            loop.dataloader_iterator = _Batches(loop.dataloader, done)

    def _compare_data(self, dataset: Dataset) -> None:
        self._data, before = training_data(dataset), self._data_before
        if before is not None and before != self._data:
            counts = f'{before["samples"]} samples before, {self._data["samples"]} now'
            if before['samples'] == self._data['samples']:
                counts = f'{before["samples"]} samples, of other names'
            print_log(
                f'the training data have changed since the checkpoint ({counts}): the training '
                'goes on with those of now, and is not the one that was interrupted',
                'current',
                logging.WARNING,
            )

    def before_train_epoch(self, runner: Runner) -> None:
        draws = runner.train_dataloader.batch_sampler
        if isinstance(draws, _NumberedDraws):
            draws.epoch = runner.epoch
        _seed_all(self.seed, _MODEL, self.rank, runner.iter)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        _seed_all(self.seed, _MODEL, self.rank, runner.iter)

    def _repeatable(self, loader: DataLoader, endless: bool, skipped: int) -> DataLoader:
        """The loader anew, since torch lets nothing of it be changed."""
        batches = loader.batch_sampler
        sampler = batches.sampler
        if isinstance(sampler, InfiniteSampler):
            # The old one may have handed out indices to workers that were started already, and
            # without a seed in the config its seed is not that of the checkpoint.
            batches.sampler = InfiniteSampler(sampler.dataset, sampler.shuffle, self.seed)
        elif hasattr(sampler, 'seed'):
            sampler.seed = self.seed
        return DataLoader(
            _SeededDataset(loader.dataset, self.seed),
            batch_sampler=_NumberedDraws(batches, endless, skipped),
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            pin_memory=loader.pin_memory,
            timeout=loader.timeout,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
            prefetch_factor=loader.prefetch_factor,
            persistent_workers=loader.persistent_workers,
        )
