"""mmdet3d's LiDAR detectors for any point cloud, including empty and damaged ones.

Configs of mmdet3d import this module; the package itself does not. mmdet3d infers the number of
frames in a batch from its last voxel, so it fails if the last frame has no voxels. Points with NaN
make all its normalization statistics NaN permanently.
"""

from collections.abc import Sequence
from typing import Any

from mmdet3d.models import Base3DDetector, CenterPoint, Det3DDataPreprocessor, VoxelNet
from mmdet3d.structures import Det3DDataSample
from mmengine.registry import MODELS
from torch import Tensor

from ...utils.errors import UserError


@MODELS.register_module()
class CheckedDet3DDataPreprocessor(Det3DDataPreprocessor):
    """Make voxels from the points that are finite and in range.

    A frame without such points gets one point at the center of the range, so that the other frames
    of its batch can be processed. Its index in the batch is stored in `voxels['empty']`.

    Args:
        num_features: number of features per point, including coordinates, that the voxel encoder
            expects.
        kwargs: arguments of mmdet3d's preprocessor, with hard voxelization.

    Raises:
        UserError: if points have another number of features or, in training, if a batch has fewer
            than two voxels, which is too few for batch statistics.
    """

    def __init__(self, num_features: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_features = num_features

    def voxelize(
        self, points: Sequence[Tensor], data_samples: Sequence[Det3DDataSample]
    ) -> dict[str, Any]:
        """Convert clouds (N_i, num_features) to mmdet3d's voxel dict with the list `empty`."""
        for cloud in points:
            if cloud.shape[1] != self.num_features:
                raise UserError(
                    f'points have {cloud.shape[1]} features, but the model expects '
                    f'{self.num_features}'
                )
        points = [cloud[cloud.isfinite().all(1)] for cloud in points]
        limits = points[0].new_tensor(self.voxel_layer.point_cloud_range).view(2, 3)
        middle = points[0].new_zeros(1, self.num_features)
        middle[0, :3] = limits.mean(0)
        # Outside the range. mmcv's CUDA kernel cannot start for a cloud of no points.
        outside = middle + 2 * (limits[1] - limits[0]).max()
        points = [cloud if len(cloud) else outside for cloud in points]
        voxels = super().voxelize(points, data_samples)
        frames = voxels['coors'][:, 0]
        if self.training and len(frames) < 2:
            raise UserError(
                f'a batch of {len(points)} frames has {len(frames)} voxels, too few to train on'
            )
        empty = sorted(set(range(len(points))) - set(frames.unique().tolist()))
        if empty:
            for i in empty:
                points[i] = middle
            voxels = super().voxelize(points, data_samples)
        return dict(voxels, empty=empty)


class EmptyFrameMixin(Base3DDetector):
    """A detector that returns no objects for a frame without voxels, whatever its weights."""

    def predict(
        self,
        batch_inputs_dict: dict[str, Any],
        batch_data_samples: Sequence[Det3DDataSample],
        **kwargs: Any,
    ) -> list[Det3DDataSample]:
        """Predict as mmdet3d does, but return no objects for empty frames."""
        samples = super().predict(batch_inputs_dict, batch_data_samples, **kwargs)
        for i in batch_inputs_dict['voxels']['empty']:
            samples[i].pred_instances_3d = samples[i].pred_instances_3d[:0]
        return samples


@MODELS.register_module()
class CheckedVoxelNet(EmptyFrameMixin, VoxelNet):
    """mmdet3d's VoxelNet for `CheckedDet3DDataPreprocessor`."""


@MODELS.register_module()
class CheckedCenterPoint(EmptyFrameMixin, CenterPoint):
    """mmdet3d's CenterPoint for `CheckedDet3DDataPreprocessor`."""
