# Images in one folder per class: data_root/train/CLASS/*.jpg and data_root/val/CLASS/*.jpg.
#   python tools/train.py configs/mmpretrain/cls_dualattn_t_folder.py --cfg-options data_root=FOLDER
# For other folder names than train and val, set val_dataloader.dataset.data_prefix=validation etc.
_base_ = './cls_dualattn_t.py'

runner_type = 'ClassFolderRunner'  # sets data_root and the number of classes
data_root = 'data/folder'
train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_prefix='train',
        pipeline=_base_.train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_prefix='val',
        pipeline=_base_.test_pipeline,
    ),
)
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='CustomDataset',
        data_prefix='val',
        pipeline=_base_.test_pipeline,
    ),
)
val_evaluator = dict(topk=(1,))
test_evaluator = dict(topk=(1,))
train_cfg = dict(max_epochs=100)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, end=200),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.008, by_epoch=True, convert_to_iter_based=True),
]
optim_wrapper = dict(optimizer=dict(lr=1.25e-4))
auto_scale_lr = dict(base_batch_size=64)
