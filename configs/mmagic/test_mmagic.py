# ImageNet val with mmagic's own loop, metrics and visualizer, for its tools/test.py. mmagic's
# evaluator reads samples of its PackInputs, and its ColorizationInferencer uses `test_pipeline`.
_base_ = 'test_imagenet_val50k.py'

default_scope = 'mmagic'
test_pipeline = [dict(type='LoadPhoto'), dict(type='PackInputs')]
test_dataloader = dict(
    _delete_=True,  # its inferencer cannot read a collate_fn
    batch_size=8,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ColorizationDataset',
        data_root='data/imagenet/val',
        test_mode=True,
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='ColorizationSquash', size=256),
            dict(type='CopyValues', src_keys=['img'], dst_keys=['gt']),  # becomes gt_img
            dict(type='PackInputs'),
        ],
    ),
)
test_cfg = dict(type='MultiTestLoop')
test_evaluator = dict(
    _delete_=True, type='Evaluator', metrics=[dict(type='PSNR'), dict(type='SSIM')]
)
visualizer = dict(
    type='ConcatImageVisualizer',
    fn_key='img_path',
    img_keys=['gt_img', 'pred_img'],
    bgr2rgb=True,
)
# With these, mmengine would also build the training dataset for the hook.
train_cfg = train_dataloader = optim_wrapper = param_scheduler = None
custom_hooks = [*_base_.custom_hooks, dict(type='BasicVisualizationHook', interval=1)]
