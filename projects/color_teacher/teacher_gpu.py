# Further training of the weights of teacher.py on one large GPU, on the data of student_gpu.py,
# whose teacher it is. projects/gpu_training/run.py runs it. At 160 px, a step has at most 2.7 GFLOP
# per photo.
_base_ = 'student_gpu.py'

model = dict(
    data_preprocessor=dict(scale=(0.3, 1.0), ratio=(3 / 4, 4 / 3)),
    generator=dict(
        _delete_=True, type='TimmColorizer', encoder='tf_efficientnet_lite2', frozen_stages=2
    ),
    color=dict(_delete_=True, type='RebalancedColorLoss', delta=25.0, uniform=0.95),
    chroma=None,
    color_distillation=None,
    train_sizes=(128, 160, 192),
)
# BatchedMuon would not find matrices of the same shape in a group: with lr_mult, each parameter is
# a group of its own.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.02, fused=True),
    paramwise_cfg=dict(custom_keys={'generator.encoder': dict(lr_mult=0.4)}),
)
