# The counterpart of centerpoint_voxel01_dualattn.py with SECOND; only the backbone differs.
_base_ = 'centerpoint_voxel01_dualattn.py'

model = dict(pts_backbone=dict(type='SECOND'))
