# CelebA-HQ, with all photos in the folder (see docs/datasets.md). CF of the truth: 42.75
# (by Table I).
_base_ = 'test_imagenet_val50k.py'

test_dataloader = dict(dataset=dict(data_root='data/celeba_hq/val'))
