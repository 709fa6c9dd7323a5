# Any folder of photos, searched recursively: ImageNet's train/CLASS/*.JPEG, or your own.
# Set your folder with --cfg-options train_dataloader.dataset.data_root=FOLDER.
train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ColorizationDataset',
        data_root='data/imagenet/train',
        pipeline=[
            dict(type='LoadPhoto'),
            dict(type='ColorizationCrop', size=256),
            dict(type='PackColorization', ground_truth=False),
        ],
    ),
)
