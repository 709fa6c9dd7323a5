# ImageNet val, all 50,000 photos, resized to 256 x 256 (published). CF of the truth: 39.09
# (by Table I).
_base_ = 'color_dualattn_t.py'

test_evaluator = [*_base_.test_evaluator, dict(type='ColorizationFID')]
