# The mini preset with more blocks, for a CPU or one GPU in the core environment. Use it for your
# own photos, from random weights or from published ones (load_from). The bundled weights were
# trained with color_dualattn_mini_distilled.py, _gpu.py and _finetune.py (docs/model_card.md).
# docs/training.md describes the results to expect.
#   --cfg-options train_dataloader.dataset.data_root=FOLDER load_from=WEIGHTS.safetensors
# Larger batches make better use of a GPU:
#   train_dataloader.batch_size=256 train_dataloader.num_workers=14 optim_wrapper.optimizer.lr=1e-3
_base_ = [
    '../_base_/color_dualattn_mini.py',
    '../_base_/color_photos.py',
    '../_base_/color_test.py',
    '../_base_/color_runtime.py',
]

image_size = 160
max_iters = 20_000
decay_iters = 8_000
model = dict(
    # Training uses crops of several sizes, and colorizing whole photos. The logits of channel
    # attention are scaled by the number of tokens, so that they do not depend on the size.
    # As in the paper's step from T to S, most of the additional blocks are in stage 3 (9,349,088
    # parameters).
    generator=dict(
        image_size=image_size, encoder=dict(fca_scale='tokens', arch=dict(depths=(1, 2, 8, 2)))
    ),
    l1_weight=0.0,
    color=dict(type='RebalancedColorLoss', delta=25.0, uniform=0.95),
    train_sizes=(96, 128, 160),
)
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    dataset=dict(
        data_root='data/photos',
        # Photos are decoded once and kept in memory: 30,000 photos of 240 x 176 take 3.5 GiB.
        cache_gib=4.0,
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='SkipNearGray', min_colorfulness=8.0),
            dict(type='ColorizationCrop', size=image_size, scale=(0.3, 1.0)),
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
train_cfg = dict(by_epoch=False, max_iters=max_iters)
# Mixed precision on a GPU.
optim_wrapper = dict(
    type='AmpOnGpuOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.02),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, end=50),
    dict(
        type='LinearLR',
        start_factor=1.0,
        end_factor=0.01,
        by_epoch=False,
        begin=max_iters - decay_iters,
        end=max_iters,
    ),
]
custom_hooks = [
    dict(type='PlainCheckpointHook'),
    dict(type='RepeatableHook'),
    # For load_from with a checkpoint of _distilled or _finetune, which holds the teacher's parts.
    dict(type='StrictLoadHook', ignore=(r'^distillation\.',)),
    dict(type='GeneratorEMAHook', momentum=0.005),
    dict(type='FiniteLossHook'),
]
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50),
    checkpoint=dict(type='SafeCheckpointHook', by_epoch=False, interval=500, max_keep_ckpts=2),
)
randomness = dict(seed=11)
