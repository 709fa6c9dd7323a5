# The counterpart of centerpoint_voxel_dualattn.py with SECOND; only the backbone differs.
_base_ = 'centerpoint_voxel_dualattn.py'

model = dict(pts_backbone=dict(type='SECOND'))
