"""Report and replace images that mmcv cannot read."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from ...datasets.checks.image_sizes import size_difference
from ...datasets.leaves import iter_leaf_datasets, loaders_of
from ...datasets.reports import report
from ...utils.errors import RunError, first_line


@HOOKS.register_module()
class DamagedImagesHook(Hook):
    """Replace images that mmcv's LoadImageFromFile cannot read, and report their names.

    Without this hook, training fails with OpenCV errors that do not name the file. As in
    `ColorizationDataset`, a damaged, empty or missing image is reported once and replaced in
    training. In validation and testing it is an error, because the metrics would not be comparable
    without it. The same applies to an image that is rotated relative to its annotations.

    Args:
        max_broken: training stops if more images of a dataset than this cannot be read by one
            process and its workers.
    """

    # After hooks that replace the pipeline, such as mmdet's PipelineSwitchHook. The workers of the
    # data loader start later.
    priority = 'LOW'

    def __init__(self, max_broken: int = 100) -> None:
        self.max_broken = max_broken
        self._broken: dict[int, Tensor] = {}

    def before_train(self, runner: Runner) -> None:
        self._watch(runner.train_loop, replace=True)

    def before_train_epoch(self, runner: Runner) -> None:
        self._watch(runner.train_loop, replace=True)

    def before_val(self, runner: Runner) -> None:
        self._watch(runner.val_loop, replace=False)

    def before_test(self, runner: Runner) -> None:
        self._watch(runner.test_loop, replace=False)

    def _watch(self, loop: Any, replace: bool) -> None:
        mmcv = sys.modules.get('mmcv.transforms')
        if mmcv is None:
            return
        for loader in loaders_of(loop):
            for dataset in iter_leaf_datasets(loader.dataset):
                steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
                for i, step in enumerate(steps):
                    if isinstance(step, mmcv.LoadImageFromFile):
                        broken = self._broken.get(id(dataset))
                        if broken is None:
                            # In memory that the workers share, so that they count together.
                            broken = torch.zeros(len(dataset), dtype=torch.bool).share_memory_()
                            self._broken[id(dataset)] = broken
                        limit = self.max_broken if replace else None
                        steps[i] = _NamingLoader(step, broken, limit)


class _NamingLoader:
    """An image loader whose errors name the file.

    Args:
        load: the loader of mmcv.
        broken: marks the samples that cannot be read; modified in place.
        limit: how many samples may be replaced; None raises an error for the first one.
    """

    def __init__(self, load: Callable[[dict], dict | None], broken: Tensor, limit: int | None):
        self.load = load
        self.broken = broken
        self.limit = limit

    def __call__(self, results: dict) -> dict | None:
        """Return the result of `load`, or None so that mmengine loads another image."""
        path, index = results.get('img_path'), results.get('sample_idx', 0)
        try:
            loaded = self.load(results)
            problem = loaded and _turned(loaded)
        except Exception as error:  # decoders fail in many ways
            problem = f'{path} cannot be read ({first_line(error)})'
        if not problem:
            return loaded
        if self.limit is None:
            raise RunError(problem)
        if not self.broken[index]:
            self.broken[index] = True
            report(f'replaced: {problem}')
        count = int(self.broken.sum())
        if count > self.limit or count == len(self.broken):
            raise RunError(
                f'{count} of {len(self.broken)} images cannot be used (max_broken of '
                f'DamagedImagesHook is {self.limit}); lines with "replaced:" name them; the last '
                f'one: {problem}'
            )
        return None


def _turned(loaded: dict) -> str | None:
    """Describe the problem of an image whose sides are swapped in its annotations."""
    said = loaded.get('width'), loaded.get('height')
    height, width = loaded['img'].shape[:2]
    if width == height or said != (height, width):
        return None
    return size_difference(Path(loaded['img_path']), said, (width, height))
