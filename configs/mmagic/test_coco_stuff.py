# COCO-Stuff: the 5,000 photos of COCO val2017. CF of the truth: 36.85 (by Table I).
_base_ = 'test_imagenet_val50k.py'

test_dataloader = dict(dataset=dict(data_root='data/coco/val2017'))
