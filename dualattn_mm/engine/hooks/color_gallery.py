"""Draw images that show the training progress of a colorizer."""

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
from ...utils.sampling import spread
from ...utils.tensors import to_picture, without_color
from ...utils.wrappers import unwrapped
from ...visualization import gallery
from .repeatable import unchanged_randomness


@HOOKS.register_module()
class ColorGalleryHook(Hook):
    """Draw the same photos at regular intervals during training: gray, predicted, original.

    The gallery is passed to the runner's visualizer as `gallery`. mmengine's default visualizer
    writes it to `TIMESTAMP/vis_data/vis_image/gallery_ITERATION.png` in the work_dir, and a
    TensorboardVisBackend to TensorBoard.

    Predictions are computed as in validation: in eval mode, and with the averaged weights if there
    is an EMAHook or GeneratorEMAHook. All processes compute them, so that none waits for another;
    only the first one draws. The hook does not change the training.

    Args:
        dataset: config of the dataset; without `data_root` there is no gallery. The default is a
            ColorizationDataset whose photos are resized to the generator's `image_size`.
        interval: number of iterations between galleries; the last iteration also has one.
        rows: number of photos, spread evenly over the dataset.
        height: height of every image in pixels.

    Raises:
        ValueError: if `interval`, `rows` or `height` is below 1.
    """

    # After EMAHook (NORMAL), which averages the weights of the iteration.
    priority = 'LOW'

    def __init__(
        self,
        dataset: Mapping[str, Any] | None = None,
        interval: int = 1000,
        rows: int = 6,
        height: int = 192,
    ) -> None:
        if min(interval, rows, height) < 1:
            raise ValueError(f'interval, rows and height must be > 0, got {interval, rows, height}')
        self.dataset = dict(dataset or {})
        self.interval = interval
        self.rows = rows
        self.height = height

    def before_train(self, runner: Runner) -> None:
        self.samples: list[dict[str, Any]] = []
        if self.dataset.get('data_root') is None:
            return
        # Random numbers in the pipeline must not change the training.
        with unchanged_randomness():
            try:
                dataset = DATASETS.build(dict(self._defaults(runner.model), **self.dataset))
                self.samples = [dataset[i] for i in spread(self.rows, len(dataset))]
            except (UserError, FileNotFoundError) as error:
                raise RunError(
                    f'the photos of the gallery: {error}; '
                    'pass default_hooks.gallery.dataset.data_root=FOLDER for other photos, or None '
                    'for no gallery'
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
                    hook.before_val_epoch(runner)  # swaps trained and averaged weights
                    stack.callback(hook.after_val_epoch, runner)
            # One at a time, which needs the least memory in addition to training.
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
