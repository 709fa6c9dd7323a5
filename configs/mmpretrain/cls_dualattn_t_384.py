# Fine-tuning at 384 (Sec. IV-E, Table VI, right column). Published: windows of 12 x 12, AdamW,
# constant 5e-5 at batch 512, weight decay 1e-8, 150 epochs, average of the weights with decay
# 0.9999, no center crop in the test. Chosen: only crops and flips, in addition to Mixup and CutMix.
_base_ = 'cls_dualattn_t.py'

load_from = 'work_dirs/cls_dualattn_t/epoch_300.pth'
model = dict(backbone=dict(window_size=12))  # no parameter depends on it

image = dict(scale=384, backend='pillow', interpolation='bicubic')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', **image),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', **image),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=64, dataset=dict(pipeline=train_pipeline))  # per GPU, on 8 GPUs
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

optim_wrapper = dict(optimizer=dict(lr=5e-5, weight_decay=1e-8))
param_scheduler = []
train_cfg = dict(max_epochs=150)
custom_hooks = [*_base_.custom_hooks, dict(type='EMAHook', momentum=1e-4)]
auto_scale_lr = dict(base_batch_size=512)
