# The counterpart of centerpoint_pillar_dualattn.py with SECOND; only the backbone differs.
_base_ = 'centerpoint_pillar_dualattn.py'

model = dict(pts_backbone=dict(type='SECOND'))
