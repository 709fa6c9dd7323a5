# CenterPoint with pillars of 0.2 m on nuScenes (Sec. IV-G, Tables XI, XII).
# Published, and the same in mmdet3d: 20 epochs of one-cycle AdamW up to 1e-3, weight decay 0.01;
# ground-truth sampling, flips, scaling in [0.95, 1.05], rotation in [-pi/8, pi/8].
_base_ = [
    'mmdet3d::centerpoint/centerpoint_pillar02_second_secfpn_8xb4-cyclic-20e_nus-3d.py',
    '../_base_/det3d_dualattn.py',
]

model = dict(
    type='CheckedCenterPoint',
    data_preprocessor=dict(type='CheckedDet3DDataPreprocessor', num_features=5),
    pts_backbone=dict(type='DualAttentionBEV'),
)

train_dataloader = dict(batch_size=_base_.batch_per_gpu)
auto_scale_lr = dict(base_batch_size=_base_.batch_size)
optim_wrapper = dict(optimizer=dict(betas=_base_.betas))
param_scheduler = [
    *_base_.param_scheduler[:2],
    *(
        dict(half, eta_min=momentum)
        for half, momentum in zip(_base_.param_scheduler[2:], _base_.momentums, strict=True)
    ),
]
default_hooks = dict(checkpoint=_base_.checkpoint_hook)
