# The SECOND row beside centerpoint_pillar_dualattn.py: the backbone alone differs.
_base_ = 'centerpoint_pillar_dualattn.py'

model = dict(pts_backbone=dict(type='SECOND'))
