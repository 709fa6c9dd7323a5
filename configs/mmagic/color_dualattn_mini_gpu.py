# The mini preset for one large GPU and a given time, from random weights or from published ones.
# Photos are decoded once and cached as squares, and whole batches are cropped on the GPU. The
# teacher sees crops of 224 px, and the network the same crops at one of several sizes. The learning
# rate falls to almost 0 at the end of the time. projects/gpu_training runs all of this.
#   --cfg-options train_dataloader.dataset.data_root=FOLDER custom_hooks.4.seconds=1800
#   load_from=dualattn_mm/assets/mpt_mini.safetensors optim_wrapper.optimizer.lr=2e-3
_base_ = 'color_dualattn_mini_distilled.py'

crop_size = 224
square = 208  # side of the cached photos; 34,000 of them take 4.1 GiB
model = dict(
    data_preprocessor=dict(type='ColorizationBatchCrop', size=crop_size, scale=(0.25, 1.0)),
    distillation=dict(shrink=1),
    train_sizes=(128, 160, 192, 224),
    compile=dict(dynamic=False),
)
train_dataloader = dict(
    batch_size=256,
    num_workers=14,
    pin_memory=True,
    dataset=dict(
        cache_gib=8.0,
        cache_side=square,
        cache_square=True,
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='SkipNearGray', min_colorfulness=8.0),
            # For photos that are not in the cache.
            dict(type='ColorizationSquash', size=square),
            dict(type='PackColorization', ground_truth=False),
        ],
    ),
)
train_cfg = dict(max_iters=1_000_000)  # the time limit ends the training
param_scheduler = [dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=100)]
custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(type='StrictLoadHook', ignore=(r'^distillation\.',)),
    # Average over fewer steps at the beginning, so that it also works in a short training.
    dict(type='GeneratorEMAHook', ema_type='MomentumAnnealingEMA', momentum=0.002, gamma=50),
    dict(type='TimeBudgetHook', seconds=480, decay=0.7),
    dict(type='FiniteLossHook'),
]
