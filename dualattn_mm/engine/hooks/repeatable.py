"""Randomness that depends only on the position in training, so that resuming is exact."""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_reduce, broadcast, get_dist_info, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler

from ...utils.errors import RunError
from .training_data import training_data

_SAMPLE, _MODEL = 0, 1  # streams of random numbers


def _seed_cpu(*numbers: int) -> int:
    """Seed all random number generators of the CPU and return torch's seed."""
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
    """Restore the state of all random number generators at the end of the context."""
    states = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


class _Draw(NamedTuple):
    """The index of a sample to load, and its number over all processes."""

    index: int
    epoch: int
    number: int


class _NumberedDraws:
    """A batch sampler that numbers the samples of another batch sampler.

    Args:
        batches: the batch sampler of this process.
        endless: start again at the end, as mmengine does in iteration-based training.
        skipped: number of batches to skip at the start.
    """

    def __init__(self, batches: BatchSampler, endless: bool, skipped: int = 0) -> None:
        self.batches = batches
        self.endless = endless
        self.skipped = skipped
        self.epoch = 0

    @property
    def sampler(self) -> Sampler:
        return self.batches.sampler

    @property
    def batch_size(self) -> int | None:
        return getattr(self.batches, 'batch_size', None)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[_Draw]]:
        rank, world_size = get_dist_info()
        position = 0
        for count, batch in enumerate(self._rounds()):
            if count >= self.skipped:
                # Samplers distribute the samples round-robin, so that all processes together draw
                # the same samples as a single process.
                numbers = range(rank + position * world_size, 1 << 62, world_size)
                yield [_Draw(i, self.epoch, n) for i, n in zip(batch, numbers, strict=False)]
            position += len(batch)

    def _rounds(self) -> Iterator[list[int]]:
        yield from self._round()
        count = 0
        while self.endless:
            count += 1
            if hasattr(self.sampler, 'set_epoch'):
                self.sampler.set_epoch(count)
            yield from self._round()

    def _round(self) -> Iterator[list[int]]:
        batch = None
        for batch in self.batches:
            yield batch
        if batch is None:  # an endless search would look like slow data
            raise RunError(
                f'{len(self.sampler)} samples of this process give no batch of '
                f'{self.batches.batch_size} with drop_last: set a smaller '
                'train_dataloader.batch_size'
            )


class _SeededDataset(Dataset):
    """A wrapper of a dataset that seeds the random number generators before each sample.

    It is an instance of the class of the dataset, which hooks check.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.__dict__.update(_dataset=dataset, _seed=seed)

    def __reduce__(self) -> tuple:
        return _SeededDataset, (self._dataset, self._seed)

    @property
    def __class__(self) -> type:
        return type(self._dataset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):  # accessed while a worker unpickles this object
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._dataset, name, value)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, draw: _Draw | int) -> Any:
        if not isinstance(draw, _Draw):
            return self._dataset[draw]
        # Not the GPU: seeding it takes 0.3 ms, and transforms run on the CPU.
        _seed_cpu(self._seed, _SAMPLE, draw.epoch, draw.number)
        return self._dataset[draw.index]


class _Batches:
    """The batches of a loader that starts at the first batch that is not skipped."""

    def __init__(self, loader: DataLoader, skipped: int) -> None:
        self._loader = loader
        self._to_skip = skipped
        self._batches: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        # mmengine's loop requests the batches that it skips and ignores them.
        if self._to_skip:
            self._to_skip -= 1
            return None
        if self._batches is None:
            self._batches = iter(self._loader)
        return next(self._batches)

    def skip_iter(self, number: int) -> None:
        """Skip a number of batches at once, which the loop of OneDL's mmengine requests."""
        self._to_skip -= min(number, self._to_skip)


@HOOKS.register_module()
class RepeatableHook(Hook):
    """Make a resumed training equal to one that was never interrupted.

    Random numbers depend only on the seed and the position in training: on the number of the sample
    in the data pipeline, and on the process and the iteration in the model. Only Python's `random`
    has the same state in the model in all processes. The samples therefore do not depend on the
    number of workers or processes, and resuming skips batches without loading them. Checkpoints
    store a fingerprint of the training data and the number of samples per step, and resuming with
    others prints a warning.

    Transforms that keep a state between samples, such as mmdet3d's ObjectSample, are an exception:
    each worker has its own state, which checkpoints do not store.

    Raises:
        RunError: if processes resume at different steps.
    """

    # Before hooks that use the data loader.
    priority = 'VERY_HIGH'

    _data: dict | None = None
    _data_before: dict | None = None  # fingerprint of the data before resuming
    _batch: int | None = None  # samples per step of all processes
    _batch_before: int | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if runner._resume:
            meta = checkpoint.get('meta', {})
            self._data_before = meta.get('training_data')
            self._batch_before = meta.get('samples_per_step')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if self._data is not None:
            checkpoint['meta']['training_data'] = self._data
            checkpoint['meta']['samples_per_step'] = self._batch

    def before_train(self, runner: Runner) -> None:
        # The checkpoint stores the seed of rank 0; with diff_rank_seed, other ranks differ.
        seed = torch.tensor(runner.seed)
        broadcast(seed)
        self.seed = int(seed)
        self.rank, world_size = get_dist_info()
        # DDP copies the weights of rank 0 only before a checkpoint is loaded.
        first, last = torch.tensor(runner.iter), torch.tensor(runner.iter)
        all_reduce(first, 'min')
        all_reduce(last, 'max')
        if first != last:
            raise RunError(
                f'the processes start at different steps ({int(first)} to {int(last)}): each '
                'machine needs the same checkpoint, and last_checkpoint if --resume names no file'
            )
        loop = runner.train_loop
        if loop.dataloader.batch_sampler is None:
            return  # the samples of an iterable dataset cannot be numbered
        by_iterations = isinstance(loop, IterBasedTrainLoop)
        if is_main_process():
            samples = getattr(loop.dataloader.batch_sampler, 'batch_size', None)
            self._batch = samples and world_size * samples
            self._compare_data(loop.dataloader.dataset)
            self._compare_batch(by_iterations)
        done = runner.iter if by_iterations else 0
        loop.dataloader = self._repeatable(loop.dataloader, by_iterations, done)
        if by_iterations:
            loop.dataloader_iterator = _Batches(loop.dataloader, done)

    def _compare_data(self, dataset: Dataset) -> None:
        self._data, before = training_data(dataset), self._data_before
        if before is not None and before != self._data:
            counts = f'{before["samples"]} samples before, {self._data["samples"]} now'
            if before['samples'] == self._data['samples']:
                counts = f'{before["samples"]} samples with other names'
            print_log(
                f'the training data have changed since the checkpoint ({counts}): training '
                'continues with the new data, and its result differs from an uninterrupted one',
                'current',
                logging.WARNING,
            )

    def _compare_batch(self, by_iterations: bool) -> None:
        if not self._batch or self._batch_before in (None, self._batch):
            return
        place = 'training continues at another place in the data, and ' if by_iterations else ''
        print_log(
            f'a step had {self._batch_before} samples before the checkpoint and has {self._batch} '
            f'now: {place}schedules by epochs that were converted to steps keep their old length',
            'current',
            logging.WARNING,
        )

    def before_train_epoch(self, runner: Runner) -> None:
        draws = runner.train_dataloader.batch_sampler
        if isinstance(draws, _NumberedDraws):
            draws.epoch = runner.epoch
        self._seed_model(runner.iter)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        self._seed_model(runner.iter)

    def _seed_model(self, step: int) -> None:
        _seed_all(self.seed, _MODEL, self.rank, step)
        random.seed(f'{self.seed} {step}')

    def _repeatable(self, loader: DataLoader, endless: bool, skipped: int) -> DataLoader:
        """Build the loader again, because torch does not allow changes to an existing one."""
        batches = loader.batch_sampler
        sampler = batches.sampler
        if isinstance(sampler, InfiniteSampler):
            # The old sampler may have sent indices to workers that have started. Without a seed in
            # the config, its seed also differs from that of the checkpoint.
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
