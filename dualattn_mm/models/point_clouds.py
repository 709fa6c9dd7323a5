"""The former location of `detectors3d.point_clouds`, which saved configs still import."""

from .detectors3d.point_clouds import (
    CheckedCenterPoint,
    CheckedDet3DDataPreprocessor,
    CheckedVoxelNet,
)

__all__ = ['CheckedCenterPoint', 'CheckedDet3DDataPreprocessor', 'CheckedVoxelNet']
