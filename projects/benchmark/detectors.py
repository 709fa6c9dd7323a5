"""Whole mmdet3d LiDAR detectors for speed measurements."""

from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from dualattn_mm.datasets.checks import lidar


def with_plain_strides(module: nn.Module) -> nn.Module:
    """Turn strides of NumPy, which SECONDFPN has, into int: torch.compile fails on them."""
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d):
            conv.stride = tuple(int(stride) for stride in conv.stride)
    return module


class PointsToBoxes(nn.Module):
    """A detector with random weights, from the points of a frame to boxes, including voxelization.

    Args:
        config: config of an mmdet3d LiDAR detector.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        from mmdet3d.structures import get_box_type
        from mmdet3d.utils import register_all_modules

        register_all_modules(init_default_scope=False)
        lidar.check_sparse_convolution(config)
        pipeline = config.test_dataloader.dataset.pipeline
        [load] = [step for step in pipeline if step['type'] == 'LoadPointsFromFile']
        self.load_dim = load['load_dim']
        self.box_type, self.box_mode = get_box_type('LiDAR')
        with DefaultScope.overwrite_default_scope('mmdet3d'):
            self.detector = MODELS.build(config.model)
        head = getattr(self.detector, 'pts_bbox_head', None) or self.detector.bbox_head
        # Under autocast, too, boxes are decoded and compared in float32.
        head.register_forward_hook(lambda head, args, output: _as_float32(output))

    def to(self, *args: Any, **options: Any) -> 'PointsToBoxes':
        """Move the detector; mmengine's method also has its preprocessor move the points."""
        self.detector.to(*args, **options)
        return super().to(*args, **options)

    def compile_maps(self, **options: Any) -> None:
        """Compile the backbone and the neck; everything else depends on the number of points.

        Args:
            options: arguments of torch.compile.
        """
        part = 'pts_' if hasattr(self.detector, 'pts_backbone') else ''
        with_plain_strides(self.detector)
        for name in (f'{part}backbone', f'{part}neck'):
            setattr(self.detector, name, torch.compile(getattr(self.detector, name), **options))

    def read_points(self, path: str) -> Tensor:
        """Read a .bin file as (N, features).

        Raises:
            UserError: if the file does not exist or has another number of features.
        """
        lidar.check_points(path, self.load_dim)
        return torch.from_numpy(np.fromfile(path, np.float32).reshape(-1, self.load_dim))

    def forward(self, points: Tensor) -> list:
        """Map (N, features) to a list with one mmdet3d sample."""
        from mmdet3d.structures import Det3DDataSample

        about = dict(box_type_3d=self.box_type, box_mode_3d=self.box_mode)
        data = dict(inputs=dict(points=[points]), data_samples=[Det3DDataSample(metainfo=about)])
        return self.detector.test_step(data)


def _as_float32(output: Any) -> Any:
    if isinstance(output, Tensor):
        return output.float()
    if isinstance(output, dict):
        return {key: _as_float32(value) for key, value in output.items()}
    if isinstance(output, list | tuple):
        return type(output)(_as_float32(part) for part in output)
    return output
