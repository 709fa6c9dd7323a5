# The published test of the colorizer: whole photos, resized to a square.
# Set your folder with --cfg-options test_dataloader.dataset.data_root=FOLDER.
test_dataloader = dict(
    batch_size=8,
    num_workers=2,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ColorizationDataset',
        data_root='data/imagenet/val',
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='ColorizationSquash', size=256),
            dict(type='PackColorization'),
        ],
        test_mode=True,
    ),
)
test_cfg = dict()
# All metrics that need no download; the presets of the published figures (test_*.py) add FID.
test_evaluator = [
    dict(type='ColorizationCF'),
    dict(type='ColorizationPSNR'),
    dict(type='ColorizationPSNROverGray'),
    dict(type='ColorizationSSIM'),
    dict(type='ColorizationABError'),
    dict(type='ColorizationHue'),
    dict(type='ColorizationTinge'),
    dict(type='ColorizationDull'),
]
