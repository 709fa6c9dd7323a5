"""Pictures that show the progress of a colorizer's training."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import DATASETS, HOOKS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn

from ...apis.eval_mode import evaluating
from ...utils.errors import RunError, UserError
from ...utils.tensors import to_picture, without_color
from ...utils.wrappers import unwrapped
from ...visualization import gallery
from ...visualization.comparison import spread
from .repeatable import unchanged_randomness


@HOOKS.register_module()
class ColorGalleryHook(Hook):
    """Show the same photos every so often during training: gray | predicted | original.

    The sheet goes to the runner's visualizer as `gallery`: with mmengine's default to
    `TIMESTAMP/vis_data/vis_image/gallery_ITERATION.png` in the work folder, with a
    TensorboardVisBackend to TensorBoard.

    Predictions are those of a validation at this moment: in eval mode, and of the averaged weights
    if there is an EMAHook or GeneratorEMAHook. As in a validation, all processes make them, so
    that none waits for another; only the first draws. The hook does not change the training.

    Args:
        dataset: config of the data set; without `data_root` there is no gallery. The defaults are a
            ColorizationDataset whose photos are squashed to the generator's `image_size`.
        interval: iterations from one gallery to the next; the last iteration has one, too.
        rows: how many photos, spread evenly over the data set.
        height: of every picture, in pixels.

    Raises:
        ValueError: if `interval`, `rows` or `height` is below 1.
    """

    # After EMAHook (NORMAL), which averages what the iteration trained.
    priority = 'LOW'

    def __init__(
        self,
        dataset: Mapping[str, Any] | None = None,
        interval: int = 1000,
        rows: int = 6,
        height: int = 192,
    ) -> None:
        if min(interval, rows, height) < 1:
            raise ValueError(f'interval, rows and height must be above 0: {interval, rows, height}')
        self.dataset = dict(dataset or {})
        self.interval = interval
        self.rows = rows
        self.height = height

    def before_train(self, runner: Runner) -> None:
        self.samples: list[dict[str, Any]] = []
        if self.dataset.get('data_root') is None:
            return
        # A pipeline that draws random numbers is no reason to train otherwise.
        with unchanged_randomness():
            try:
                dataset = DATASETS.build(dict(self._defaults(runner.model), **self.dataset))
                self.samples = [dataset[i] for i in spread(self.rows, len(dataset))]
            except (UserError, FileNotFoundError) as error:
                raise RunError(
                    f'the photos of the gallery: {error}; '
                    'default_hooks.gallery.dataset.data_root=FOLDER names others, None none'
                ) from None

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        due = self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)
        if not (self.samples and due):
            return
        predicted = self._predict(runner)
        if is_main_process():
            sheet = self._sheet(predicted)
            runner.visualizer.add_image('gallery', sheet, step=runner.iter + 1)

    @staticmethod
    def _defaults(model: nn.Module) -> dict[str, Any]:
        size = unwrapped(unwrapped(model).generator).image_size
        pipeline = [
            dict(type='LoadPhoto'),
            dict(type='ColorizationSquash', size=size),
            dict(type='PackColorization'),
        ]
        return dict(type='ColorizationDataset', test_mode=True, pipeline=pipeline)

    def _predict(self, runner: Runner) -> list[BaseDataElement]:
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(unchanged_randomness())
            stack.enter_context(evaluating(runner.model))
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.before_val_epoch(runner)  # exchanges trained and averaged weights
                    stack.callback(hook.after_val_epoch, runner)
            # One by one, which takes the least memory beside that of training.
            return [runner.model.test_step(pseudo_collate([s]))[0] for s in self.samples]

    def _sheet(self, predicted: list[BaseDataElement]) -> np.ndarray:
        truth = [sample['data_samples'] for sample in self.samples]
        columns = {
            'gray (input)': [to_picture(without_color(sample.gt_img)) for sample in truth],
            'predicted': [to_picture(sample.pred_img) for sample in predicted],
            'original': [to_picture(sample.gt_img) for sample in truth],
        }
        root = self.dataset['data_root']
        captions = [os.path.relpath(sample.img_path, root) for sample in truth]
        return np.asarray(gallery(columns, captions, self.height))
