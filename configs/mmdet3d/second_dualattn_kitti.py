# SECOND's detector for three classes on KITTI (Sec. IV-G, Table XIII).
# Published: 40 epochs; an epoch has two passes over the data, as in mmdet3d. The learning rate is
# not published. We chose mmdet3d's 1.8e-3 for a batch of 48, and its peak of ten times that, scaled
# linearly to a batch of 16. The optimizer and the augmentation are mmdet3d's.
_base_ = [
    'mmdet3d::second/second_hv_secfpn_8xb6-80e_kitti-3d-3class.py',
    '../_base_/det3d_dualattn.py',
]

model = dict(
    type='CheckedVoxelNet',
    data_preprocessor=dict(type='CheckedDet3DDataPreprocessor', num_features=4),
    backbone=dict(type='DualAttentionBEV'),
)

train_dataloader = dict(batch_size=_base_.batch_per_gpu)
auto_scale_lr = dict(base_batch_size=_base_.batch_size)
lr = _base_.lr * _base_.batch_size / _base_.auto_scale_lr.base_batch_size  # 6e-4
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(half, eta_min=last)
    for half, last in zip(
        _base_.param_scheduler, (lr * 10, lr * 1e-4, *_base_.momentums), strict=True
    )
]
default_hooks = dict(checkpoint=_base_.checkpoint_hook)
