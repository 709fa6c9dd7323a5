"""Images that mmcv cannot read do not end a training without a word of which they are."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from ...datasets.checks.coco import size_difference
from ...datasets.leaves import iter_leaf_datasets
from ...utils.errors import RunError, first_line
from ...utils.terminal import printable


@HOOKS.register_module()
class DamagedImagesHook(Hook):
    """Replace images that mmcv's LoadImageFromFile cannot read by others, and name them.

    It fails by errors of OpenCV that name no file. As in `ColorizationDataset`, an image that is
    damaged, empty or gone is named once and replaced in training; in a validation or test it is an
    error, because the test would measure something else without it. The same holds for an image
    that is turned against its annotations.

    Args:
        max_broken: training stops once more images than this of a data set cannot be read.
    """

    priority = 'VERY_HIGH'  # before the workers of the data loader start

    def __init__(self, max_broken: int = 100) -> None:
        self.max_broken = max_broken

    def before_train(self, runner: Runner) -> None:
        self._watch(runner.train_loop, replace=True)

    def before_val(self, runner: Runner) -> None:
        self._watch(runner.val_loop, replace=False)

    def before_test(self, runner: Runner) -> None:
        self._watch(runner.test_loop, replace=False)

    def _watch(self, loop: Any, replace: bool) -> None:
        mmcv = sys.modules.get('mmcv.transforms')
        if mmcv is None:
            return
        for loader in getattr(loop, 'dataloaders', None) or [loop.dataloader]:
            for dataset in iter_leaf_datasets(loader.dataset):
                steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
                for i, step in enumerate(steps):
                    if isinstance(step, mmcv.LoadImageFromFile):
                        # In memory that the workers share, so that they count together.
                        broken = torch.zeros(len(dataset), dtype=torch.bool).share_memory_()
                        limit = self.max_broken if replace else None
                        steps[i] = _NamingLoader(step, broken, limit)


class _NamingLoader:
    """A loader of images whose failures name the file.

    Args:
        load: mmcv's.
        broken: which samples cannot be read; is changed.
        limit: how many of them may be replaced; None raises an error for each.
    """

    def __init__(self, load: Callable[[dict], dict | None], broken: Tensor, limit: int | None):
        self.load = load
        self.broken = broken
        self.limit = limit

    def __call__(self, results: dict) -> dict | None:
        """What `load` gives, or None for mmengine's data set to take another image."""
        path, index = results.get('img_path'), results.get('sample_idx', 0)
        try:
            loaded = self.load(results)
            problem = loaded and _turned(loaded)
        except Exception as error:  # what decodes images fails in many ways
            problem = f'{path} cannot be read ({first_line(error)})'
        if not problem:
            return loaded
        if self.limit is None:
            raise RunError(problem)
        if not self.broken[index]:
            self.broken[index] = True
            print_log(printable(f'replaced: {problem}'), 'current', logging.WARNING)
        count = int(self.broken.sum())
        if count > self.limit or count == len(self.broken):
            raise RunError(
                f'{count} of {len(self.broken)} images cannot be used, and max_broken of '
                f'DamagedImagesHook is {self.limit}; the log names them; the last: {problem}'
            )
        return None


def _turned(loaded: dict) -> str | None:
    """What is wrong with an image whose sides are swapped against its annotations."""
    said = loaded.get('width'), loaded.get('height')
    height, width = loaded['img'].shape[:2]
    if width == height or said != (height, width):
        return None
    return size_difference(Path(loaded['img_path']), said, (width, height))
