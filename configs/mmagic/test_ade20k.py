# ADE20K: the 2,000 photos of the validation set. CF of the truth: 35.04 (by Table I).
_base_ = 'test_imagenet_val50k.py'

test_dataloader = dict(dataset=dict(data_root='data/ADEChallengeData2016/images/validation'))
