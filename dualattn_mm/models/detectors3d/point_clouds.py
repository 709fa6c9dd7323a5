"""mmdet3d's LiDAR detectors on any point cloud, empty or damaged ones too.

Registered for configs of mmdet3d, which import this module; the package itself does not.
mmdet3d takes the number of frames in a batch from its last voxel, and so fails where the last
frame has none; points that are not numbers make all of its normalizations NaN for good.
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
    """Makes voxels of what is finite and in range.

    A frame without any gets one point in the middle of the range, which lets the others of its
    batch pass; its place in the batch is noted in `voxels['empty']`.

    Args:
        num_features: of each point, coordinates included, as the voxel encoder takes them.
        kwargs: those of mmdet3d's, with hard voxelization.

    Raises:
        UserError: for points of another number of features, and in training for a batch of fewer
            than two voxels, which has no statistics.
    """

    def __init__(self, num_features: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_features = num_features

    def voxelize(
        self, points: Sequence[Tensor], data_samples: Sequence[Det3DDataSample]
    ) -> dict[str, Any]:
        """Clouds (N_i, num_features) to mmdet3d's dict of voxels and the list `empty`."""
        for cloud in points:
            if cloud.shape[1] != self.num_features:
                raise UserError(
                    f'points have {cloud.shape[1]} features, and the model takes '
                    f'{self.num_features}'
                )
        points = [cloud[cloud.isfinite().all(1)] for cloud in points]
        voxels = super().voxelize(points, data_samples)
        frames = voxels['coors'][:, 0]
        if self.training and len(frames) < 2:
            raise UserError(
                f'{len(points)} frames with {len(frames)} voxels together are too few to train on'
            )
        empty = sorted(set(range(len(points))) - set(frames.unique().tolist()))
        if empty:
            limits = points[0].new_tensor(self.voxel_layer.point_cloud_range).view(2, 3)
            middle = points[0].new_zeros(1, self.num_features)
            middle[0, :3] = limits.mean(0)
            for i in empty:
                points[i] = middle
            voxels = super().voxelize(points, data_samples)
        return dict(voxels, empty=empty)


class EmptyFrameMixin(Base3DDetector):
    """A detector that finds no objects in a frame without voxels, whatever its weights say."""

    def predict(
        self,
        batch_inputs_dict: dict[str, Any],
        batch_data_samples: Sequence[Det3DDataSample],
        **kwargs: Any,
    ) -> list[Det3DDataSample]:
        """As mmdet3d's."""
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
