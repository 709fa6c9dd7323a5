# A deeper mini network (9,349,088 parameters) for one large GPU and a given time, from published
# weights (projects/gpu_training/deepen.py). Photos are decoded once and cached as squares, and
# whole batches are cropped on the GPU. The teacher sees half of the crops at 224 px, and the
# network all of them at one of several sizes. The learning rate falls to almost 0 at the end of the
# time. projects/gpu_training runs all of this.
#   --cfg-options train_dataloader.dataset.data_root=FOLDER custom_hooks.4.seconds=1800
#   load_from=WEIGHTS.safetensors
_base_ = 'color_dualattn_mini_distilled.py'

image_size = 192  # for colorizing
crop_size = 224
square = 208  # side of the cached photos; 34,000 of them take 4.1 GiB
model = dict(
    data_preprocessor=dict(type='ColorizationBatchCrop', size=crop_size, scale=(0.3, 1.0)),
    generator=dict(
        image_size=image_size,
        # As in the paper's step from T to S, most of the new blocks are in stage 3.
        encoder=dict(arch=dict(depths=(1, 2, 8, 2))),
    ),
    distillation=dict(loss_weight=5.0, shrink=1, share=0.5),
    train_sizes=(128, 160, 192),
    compile=dict(dynamic=False),
)
train_dataloader = dict(
    batch_size=384,
    num_workers=14,
    pin_memory=True,
    dataset=dict(
        cache_gib=8.0,
        cache_side=square,
        cache_square=True,
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='SkipNearGray', min_colorfulness=4.0),
            # For photos that are not in the cache.
            dict(type='ColorizationSquash', size=square),
            dict(type='PackColorization', ground_truth=False),
        ],
    ),
)
test_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='ColorizationSquash', size=image_size),
            dict(type='PackColorization'),
        ],
    ),
)
# Without the scaling of gradients, which bfloat16 does not need, and their norm, which Muon
# ignores: both wait for the GPU between the backward pass and the update.
optim_wrapper = dict(
    loss_scale=dict(enabled=False),
    optimizer=dict(type='dualattn_mm.engine.batched_muon.BatchedMuon', lr=1e-3),
    clip_grad=None,
)
auto_scale_lr = dict(base_batch_size=384)
env_cfg = dict(cudnn_benchmark=True)  # of the fixed sizes
train_cfg = dict(max_iters=1_000_000)  # the time limit ends the training
param_scheduler = [dict(type='LinearLR', start_factor=0.01, by_epoch=False, end=100)]
# A machine that is lent for minutes can be gone before the end.
default_hooks = dict(checkpoint=dict(interval=200))
custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    dict(type='StrictLoadHook', ignore=(r'^distillation\.',)),
    # Average over fewer steps at the beginning, so that it also works in a short training.
    dict(type='GeneratorEMAHook', ema_type='BatchedEMA', momentum=0.002, gamma=50),
    dict(type='TimeBudgetHook', seconds=480, decay=0.7),
    dict(type='FiniteLossHook'),
]
