# The paper's colorizer and its training (Sec. III-D, IV-A): 8 GPUs with 2 images each. The paper
# does not average weights; add a GeneratorEMAHook to custom_hooks to do so.
_base_ = [
    '../_base_/color_photos.py',
    '../_base_/color_test.py',
    '../_base_/color_schedule_200k.py',
    '../_base_/color_runtime.py',
]

model = dict(
    type='Colorizer',
    generator=dict(type='MultiscalePyramidTransformer', num_queries=64, image_size=256),
    critic=dict(type='WassersteinCritic'),
    l1_weight=0.1,
    perceptual=dict(type='VGG19PerceptualLoss', loss_weight=5.0, weights='torchvision://vgg19'),
    adversarial=dict(type='WassersteinLoss', loss_weight=1.0),
    n_critic=1,
    weight_clip=0.01,
)
default_hooks = dict(gallery=dict(interval=5000, dataset=dict(data_root='data/imagenet/val')))
