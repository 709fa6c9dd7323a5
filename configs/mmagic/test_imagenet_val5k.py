# The first 5,000 photos of ImageNet val, center-cropped and then resized to 256 x 256 (published).
# Chosen: the crop is the largest square. The photos are the first ones in the order of the paths,
# which is the order of the numbers if all photos are in one folder (see docs/datasets.md).
_base_ = 'test_imagenet_val50k.py'

test_dataloader = dict(
    dataset=dict(
        indices=5000,
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='ColorizationCenterSquare'),
            dict(type='ColorizationSquash', size=256),
            dict(type='PackColorization'),
        ],
    ),
)
