"""The head without Color-Attention, against stages of the encoders with the same blocks."""

import pytest
import torch
import torch.nn.functional as F

from dualattn_mm.models import DualAttention
from projects.colorformer.encoder_blocks import EncoderBlocksHead

DIM, HEADS, BLOCKS = 16, 2, 3
KINDS = ('dual_attention', 'glh', 'resnet', 'swin', 'twins')


def small(kind, **kwargs):
    sizes = dict(in_channels=DIM, num_blocks=BLOCKS, num_heads=HEADS)
    return EncoderBlocksHead(kind, **{**sizes, **kwargs}).eval()


def same_weights(head, stage):
    """Give a stage of an encoder the head's weights, in their order."""
    mine, theirs = (list(module.state_dict().values()) for module in (head.blocks, stage))
    assert [v.shape for v in mine] == [v.shape for v in theirs]
    for mine_, theirs_ in zip(mine, theirs, strict=True):
        theirs_.copy_(mine_)
    return stage.eval()


def dual_attention(head):
    """The third stage of an encoder of the same width."""
    arch = dict(embed_dims=(8, 8, DIM, 8), depths=(1, 1, BLOCKS, 1), stem_channels=4)
    dims = dict(head_dim=DIM // HEADS, group_dim=DIM // HEADS)
    encoder = DualAttention(arch, window_size=8, order=('fca', 'sda'), **dims)
    stage = same_weights(head, encoder.stages[2]['blocks'])
    return lambda x: stage(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def resnet(head):
    from mmpretrain.models.backbones.resnet import Bottleneck, ResLayer

    return same_weights(head, ResLayer(Bottleneck, BLOCKS, DIM, DIM))


def swin(head):
    from mmpretrain.models.backbones.swin_transformer import SwinBlockSequence

    stage = same_weights(head, SwinBlockSequence(DIM, BLOCKS, HEADS, pad_small_map=True))

    def forward(x):
        tokens, size = stage(x.flatten(2).transpose(1, 2), x.shape[2:])
        return tokens.transpose(1, 2).unflatten(2, size)

    return forward


def glh(head):
    """The first stage of the GLH-Transformer, without what follows its blocks."""
    from projects.colorformer.glh_transformer import GLHTransformer

    arch = dict(embed_dims=DIM, depths=[BLOCKS, 1, 1, 1], num_heads=[HEADS, 1, 1, 1])
    blocks = same_weights(head, GLHTransformer(arch).stages[0].blocks)

    def forward(x):
        tokens, size = x.flatten(2).transpose(1, 2), tuple(x.shape[2:])
        for block in blocks:
            tokens = block(tokens, size)
        return tokens.transpose(1, 2).unflatten(2, size)

    return forward


def twins(head):
    from mmpretrain.models import SVT

    arch = dict(embed_dims=DIM, depths=BLOCKS, num_heads=HEADS, patch_sizes=4, strides=4)
    arch |= dict(mlp_ratios=4, sr_ratios=8, window_sizes=7)
    encoder = SVT({key: [value] for key, value in arch.items()}, out_indices=(0,)).eval()
    positions = encoder.position_encodings[0]
    same_weights(
        head,
        torch.nn.ModuleList([encoder.stages[0][0], positions, *encoder.stages[0][1:]]),
    )
    # Its stage on a map: what embeds patches and normalizes is left out.
    encoder.patch_embeds[0].forward = lambda x: (x.flatten(2).transpose(1, 2), x.shape[2:])
    return lambda x: encoder(x)[0]


@pytest.mark.parametrize('kind', KINDS)
def test_blocks_are_the_encoder_s_own(kind, openmmlab, perturb):
    head = perturb(small(kind))
    stage = globals()[kind](head)
    x = torch.randn(2, DIM, 9, 16)
    with torch.no_grad():
        expected = F.pixel_shuffle(head.to_ab(stage(x)), 4)
        out = head(x)
    assert out.shape == (2, 2, 36, 64)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('kind', KINDS)
def test_every_parameter_receives_a_gradient(kind, openmmlab, perturb):
    head = perturb(small(kind, upscale=2)).train()
    out = head(torch.randn(2, DIM, 8, 9))
    assert out.shape == (2, 2, 16, 18)
    (out * torch.randn_like(out)).sum().backward()
    grads = {name: p.grad for name, p in head.named_parameters()}
    assert not [k for k, g in grads.items() if g is None or not g.isfinite().all() or not g.any()]


def test_as_many_as_color_attention_s_layers():
    with torch.device('meta'):
        head = EncoderBlocksHead('dual_attention')
    assert len(head.blocks) == 6
    assert (head.to_ab.in_channels, head.to_ab.out_channels) == (256, 32)


@pytest.mark.parametrize(
    ('kwargs', 'said'),
    [
        (dict(kind='vgg'), ['kind', 'vgg', 'resnet']),
        (dict(in_channels=9), ['in_channels', '9', 'num_heads']),
        (dict(num_blocks=0), ['num_blocks', '0']),
        (dict(upscale=0), ['upscale', '0']),
    ],
    ids=str,
)
def test_wrong_argument_error_names_value_and_allowed_values(kwargs, said):
    with pytest.raises(ValueError) as info:  # noqa: PT011 (the words are checked below)
        small(**{'kind': 'dual_attention', **kwargs})
    assert not [word for word in said if word not in str(info.value)]
