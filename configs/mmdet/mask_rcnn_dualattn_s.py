_base_ = 'mask_rcnn_dualattn_t.py'

model = dict(
    backbone=dict(
        arch='small',
        drop_path_rate=0.2,
        init_cfg=dict(checkpoint='work_dirs/cls_dualattn_s/epoch_300.pth'),
    ),
)
