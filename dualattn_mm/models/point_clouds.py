"""The former place of `detectors3d.point_clouds`, which saved configs import by this name."""

from .detectors3d.point_clouds import (
    CheckedCenterPoint,
    CheckedDet3DDataPreprocessor,
    CheckedVoxelNet,
)

__all__ = ['CheckedCenterPoint', 'CheckedDet3DDataPreprocessor', 'CheckedVoxelNet']
