# The mini preset for small machines: one GPU or a CPU, the core environment without mmagic, and no
# weights of VGG19. To add the VGG19 loss with the paper's factor:
# --cfg-options model.perceptual.type=VGG19PerceptualLoss model.perceptual.weights=FILE
_base_ = [
    '../_base_/color_dualattn_mini.py',
    '../_base_/color_photos.py',
    '../_base_/color_test.py',
    '../_base_/color_schedule_200k.py',
    '../_base_/color_runtime.py',
]

image_size = 128
model = dict(
    generator=dict(image_size=image_size),
    critic=dict(type='WassersteinCritic'),
    l1_weight=0.1,
    adversarial=dict(type='WassersteinLoss', loss_weight=1.0),
)
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    dataset=dict(
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='ColorizationCrop', size=image_size),
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
train_cfg = dict(max_iters=20_000)
optim_wrapper = dict(generator=dict(optimizer=dict(lr=4e-4)))
param_scheduler = dict(milestones=[8_000, 12_000, 16_000])
default_hooks = dict(checkpoint=dict(interval=1000))
