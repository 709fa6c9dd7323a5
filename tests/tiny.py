"""Small colorization networks for tests.

`GENERATOR` has few tensors, because training runs of few steps mostly save and load them.
"""

from torch import nn

GENERATOR = dict(
    type='MultiscalePyramidTransformer',
    encoder=dict(
        type='DualAttention',
        in_channels=1,
        arch=dict(embed_dims=(8, 16), depths=(1, 1), stem_channels=4),
        window_size=2,
        head_dim=8,
        group_dim=8,
        order=('fca', 'sda'),
        out_indices=(0, 1),
    ),
    neck=dict(type='PixelShuffleNeck', in_channels=(8, 16), out_channels=(16,)),
    head=dict(
        type='ColorAttention', in_channels=16, num_layers=1, num_heads=2, feedforward_channels=32
    ),
    num_queries=8,
)


class Gray(nn.Module):
    """A generator that adds no color."""

    def forward(self, lightness):
        return lightness.new_zeros(len(lightness), 2, *lightness.shape[2:])
