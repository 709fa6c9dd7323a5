# The mini preset (5,668,160 parameters), for CPUs and the demo.
model = dict(
    type='Colorizer',
    generator=dict(
        type='MultiscalePyramidTransformer',
        encoder=dict(
            type='DualAttention',
            arch=dict(embed_dims=(48, 96, 144, 192), depths=(1, 1, 3, 1), stem_channels=32),
            in_channels=1,
            window_size=8,
            head_dim=24,
            group_dim=24,
            order=('fca', 'sda'),
        ),
        neck=dict(
            type='PixelShuffleNeck', in_channels=(48, 96, 144, 192), out_channels=(128, 96, 96)
        ),
        head=dict(
            type='ColorAttention',
            in_channels=96,
            num_heads=4,
            num_layers=3,
            feedforward_channels=384,
        ),
        num_queries=64,
    ),
)
