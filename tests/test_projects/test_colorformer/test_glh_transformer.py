"""ColorFormer's encoder against a loop over windows."""

import math

import pytest
import torch

ARCH = dict(embed_dims=8, depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 4])


@pytest.fixture(scope='module')
def glh():
    pytest.importorskip('mmpretrain')
    from projects.colorformer import glh_transformer

    return glh_transformer


def pooled_tokens(x, side):
    """Means over the cells of a grid of at most side x side; x is (H, W, C)."""
    height, width, _ = x.shape
    rows, columns = min(side, height), min(side, width)
    return torch.stack(
        [
            x[
                math.floor(i * height / rows) : math.ceil((i + 1) * height / rows),
                math.floor(j * width / columns) : math.ceil((j + 1) * width / columns),
            ].mean((0, 1))
            for i in range(rows)
            for j in range(columns)
        ]
    )


def naive_attention(x, weights, side, pool, heads):
    """Attention on the map (H, W, C), window by window, over the pixels inside the map."""
    height, width, channels = x.shape
    whole = pooled_tokens(x, pool)
    table = weights['w_msa.relative_position_bias_table']
    out = torch.full_like(x, torch.nan)
    d = channels // heads
    for top in range(0, height, side):
        for left in range(0, width, side):
            window = x[top : top + side, left : left + side]
            places = [(r, c) for r in range(window.shape[0]) for c in range(window.shape[1])]
            keys = torch.cat((window.reshape(-1, channels), whole))
            qkv = keys @ weights['w_msa.qkv.weight'].T + weights['w_msa.qkv.bias']
            for n, (r, c) in enumerate(places):
                parts = []
                for h in range(heads):
                    cut = slice(h * d, (h + 1) * d)
                    query = qkv[n, :channels][cut]
                    logits = qkv[:, channels : 2 * channels][:, cut] @ query / math.sqrt(d)
                    for m, (rr, cc) in enumerate(places):
                        index = (r - rr + side - 1) * (2 * side - 1) + c - cc + side - 1
                        logits[m] = logits[m] + table[index, h]
                    parts.append(logits.softmax(0) @ qkv[:, 2 * channels :][:, cut])
                mixed = torch.cat(parts)
                out[top + r, left + c] = (
                    weights['w_msa.proj.weight'] @ mixed + weights['w_msa.proj.bias']
                )
    return out


@pytest.mark.parametrize(
    ('height', 'width', 'side', 'pool'),
    [(6, 9, 3, 3), (7, 5, 3, 2), (4, 4, 4, 4), (1, 5, 3, 2), (2, 3, 4, 4), (5, 8, 2, 3)],
)
def test_windows_attend_to_themselves_and_to_pooled_tokens(glh, perturb, height, width, side, pool):
    local = glh.ShiftWindowMSA(8, 2, side)
    attention = perturb(glh.GlobalLocalMSA(local, pool), 0.5).eval()
    x = torch.randn(2, height, width, 8)
    with torch.no_grad():
        out = attention(x.flatten(1, 2), (height, width)).view_as(x)
        expected = [naive_attention(y, attention.state_dict(), side, pool, 2) for y in x]
    torch.testing.assert_close(out, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_a_frame_of_swin(glh):
    """Even blocks are replaced; the parameters are Swin's, of which the odd blocks shift."""
    from mmpretrain.models import SwinTransformer

    ours, swin = glh.GLHTransformer(), SwinTransformer(out_indices=(0, 1, 2, 3))
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in swin.state_dict().items()
    }
    for stage in ours.stages:
        kinds = [type(block.attn) for block in stage.blocks]
        assert kinds == [glh.GlobalLocalMSA, glh.ShiftWindowMSA] * (len(kinds) // 2)
        assert all(block.attn.shift_size == 3 for block in stage.blocks[1::2])


def test_a_map_of_one_window_is_attended_to_as_in_swin(glh, perturb):
    """Every token then occurs twice, which does not change weighted means without biases."""
    local = perturb(glh.ShiftWindowMSA(8, 2, 4), 0.5).eval()
    x = torch.randn(2, 16, 8)
    with torch.no_grad():
        with_bias = local(x, (4, 4))
        attention = glh.GlobalLocalMSA(local, 4).eval()
        assert not torch.allclose(attention(x, (4, 4)), with_bias, atol=1e-3)
        local.w_msa.relative_position_bias_table.zero_()
        torch.testing.assert_close(attention(x, (4, 4)), local(x, (4, 4)))


@pytest.mark.parametrize(('height', 'width'), [(64, 96), (33, 45), (32, 32), (1, 40)])
def test_maps_are_those_of_our_encoder(glh, height, width):
    import dualattn_mm

    ours = dualattn_mm.DualAttention(
        dict(embed_dims=(8, 16, 32, 64), depths=(1, 1, 1, 1), stem_channels=4),
        head_dim=8,
        group_dim=8,
        window_size=2,
    )
    maps = glh.GLHTransformer(ARCH, window_size=3)(torch.randn(1, 3, height, width))
    expected = ours(torch.randn(1, 3, height, width))
    assert [m.shape for m in maps] == [m.shape for m in expected]
    assert all(m.isfinite().all() for m in maps)


def test_every_parameter_receives_a_gradient(glh, perturb):
    model = perturb(glh.GLHTransformer(ARCH, window_size=3, in_channels=1))
    maps = model(torch.randn(2, 1, 70, 66))
    sum((m * torch.randn_like(m)).sum() for m in maps).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_a_far_pixel_counts_in_the_first_block(glh, perturb):
    """Swin's first block only sees its own window."""
    model = perturb(glh.GLHTransformer(dict(ARCH, depths=[1, 1, 1, 1]), window_size=2))
    x = torch.randn(1, 64, 8, requires_grad=True)
    block = model.stages[0].blocks[0]
    block(x, (8, 8))[0, 0].sum().backward()
    assert x.grad.abs().sum(-1).all()


@pytest.mark.filterwarnings('ignore:torch.utils.checkpoint:UserWarning')  # mmpretrain's call
def test_checkpointing_changes_nothing(glh, perturb):
    model = perturb(glh.GLHTransformer(ARCH, window_size=3))
    x = torch.randn(1, 3, 40, 64)
    twin = glh.GLHTransformer(ARCH, window_size=3, with_cp=True)
    twin.load_state_dict(model.state_dict())
    for other in (model, twin):
        other.train()
        sum(m.square().sum() for m in other(x)).backward()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)


@pytest.mark.parametrize('wrong', [dict(window_size=0), dict(pool_size=0), dict(pool_size=2.5)])
def test_a_wrong_size_is_reported(glh, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        glh.GLHTransformer(ARCH, **wrong)


def test_colorizes(glh):
    from mmengine.registry import MODELS

    model = MODELS.build(
        dict(
            type='MultiscalePyramidTransformer',
            encoder=dict(type='GLHTransformer', arch=ARCH, window_size=2, in_channels=3),
            neck=dict(type='PixelShuffleNeck', in_channels=(8, 16, 32, 64), out_channels=(8, 8, 8)),
            head=dict(type='ColorAttention', in_channels=8, num_layers=1, num_heads=2),
        )
    )
    assert type(model.encoder) is glh.GLHTransformer
    assert model(100 * torch.rand(1, 1, 37, 50)).shape == (1, 2, 37, 50)
