# ImageNet-1k at 224 (Sec. IV-E, Table VI, left column). Published: AdamW, 5e-4 at batch 2048,
# weight decay 0.05, 300 epochs, cosine, clipping at 1. The paper gives no other details; we chose
# the settings of the base configs (20 epochs of warm-up, RandAugment, random erasing 0.25, no decay
# of norms and biases).
_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    'mmpretrain::_base_/schedules/imagenet_bs1024_adamw_swin.py',
    'mmpretrain::_base_/default_runtime.py',
    '../_base_/cls_dualattn.py',
    '../_base_/openmmlab_runtime.py',
]

train_dataloader = dict(batch_size=256)  # per GPU, on 8 GPUs
optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=1.0))
# The end of the cosine is a share of each layer's rate. The 1e-5 of the base config is more than
# the rate of the first layers with layer-wise decay, which would rise.
param_scheduler = [
    _base_.param_scheduler[0],
    dict(type='CosineAnnealingLR', eta_min_ratio=0.02, by_epoch=True, begin=20),
]
default_hooks = dict(checkpoint=dict(type='SafeCheckpointHook', max_keep_ckpts=3))
auto_scale_lr = dict(base_batch_size=2048)
