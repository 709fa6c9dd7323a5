"""ColorFormer's decoder against a loop over pixels, and the file of its memory."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from safetensors.torch import load_file, save_file

from dualattn_mm.utils.errors import UserError
from projects.colorformer.color_memory import ColorMemory, Memory, read_memory, write_memory

SIZES = dict(in_channels=8, num_semantics=5, num_colors=3, semantic_channels=4)


def a_memory(semantics=5, colors=3, channels=4):
    return Memory(torch.randn(semantics, channels), 40 * torch.randn(semantics, colors, 2))


@pytest.fixture
def file(tmp_path):
    write_memory(tmp_path / 'memory.safetensors', a_memory())
    return tmp_path / 'memory.safetensors'


@pytest.fixture
def head(file, perturb):
    head = perturb(ColorMemory(**SIZES, memory=str(file)))
    head.init_weights()
    return head


def naive_prior(x, state):
    """Pixel by pixel; (2 N, h, w) of one image (C, h, w)."""
    semantics, colors = state['semantics'], state['colors']
    out = torch.empty(2 * colors.shape[1], *x.shape[1:])
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            query = state['query.weight'][:, :, 0, 0] @ x[:, i, j] + state['query.bias']
            similar = [math.exp(query @ key / math.sqrt(len(key))) for key in semantics]
            for n in range(colors.shape[1]):
                for channel in range(2):
                    weighted = [s * c for s, c in zip(similar, colors[:, n, channel], strict=True)]
                    out[2 * n + channel, i, j] = sum(weighted) / sum(similar)
    return out


def test_colors_are_looked_up_by_soft_assignment(head):
    x = torch.randn(2, 8, 3, 5)
    with torch.no_grad():
        prior = head.prior(x)
        expected = torch.stack([naive_prior(image, head.state_dict()) for image in x])
    torch.testing.assert_close(prior, expected, rtol=1e-4, atol=1e-3)
    assert prior.std() > 1  # a single center, or the mean of all, would hardly vary


def test_the_prior_is_concatenated_to_the_features(head):
    x = torch.randn(2, 8, 3, 5)
    state = head.state_dict()
    with torch.no_grad():
        joined = torch.cat((x, head.prior(x) / 50), dim=1)
        fused = F.conv2d(joined, state['fuse.weight'], state['fuse.bias'], padding=1)
        mean = fused.mean(1, keepdim=True)
        var = fused.var(1, unbiased=False, keepdim=True)
        fused = (fused - mean) / (var + 1e-5).sqrt()
        fused = fused * state['norm.weight'][:, None, None] + state['norm.bias'][:, None, None]
        fused = fused * (1 + torch.erf(fused / math.sqrt(2))) / 2
        out = F.conv2d(fused, state['to_ab.weight'], state['to_ab.bias'], padding=1)
        expected = torch.empty(2, 2, 12, 20)
        for c in range(32):
            i, j = divmod(c % 16, 4)
            expected[:, c // 16, i::4, j::4] = out[:, c]
        torch.testing.assert_close(head(x), expected, rtol=1e-4, atol=1e-4)


def test_a_certain_pixel_gets_the_colors_of_its_center(head):
    """The query is a large multiple of a center, so only this center counts."""
    with torch.no_grad():
        head.semantics.copy_(F.normalize(head.semantics))
        head.query.weight.zero_()
        head.query.bias.copy_(1e4 * head.semantics[3])
        prior = head.prior(torch.randn(1, 8, 2, 2))
    torch.testing.assert_close(prior[0, :, 1, 0], head.colors[3].flatten())


def test_every_parameter_learns_and_the_memory_does_not(head, file):
    x = torch.randn(2, 8, 3, 5)
    out = head(x)
    (out * torch.randn_like(out)).sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    stored = load_file(file)
    assert {name for name, _ in head.named_buffers()} == set(stored)
    assert all(torch.equal(value, stored[name]) for name, value in head.named_buffers())


def test_a_checkpoint_has_the_memory(head):
    other = ColorMemory(**SIZES)
    other.load_state_dict(head.state_dict())
    x = torch.randn(1, 8, 3, 5)
    assert torch.equal(other(x), head(x))
    assert torch.equal(copy.deepcopy(other)(x), head(x))


def test_without_a_memory_nothing_is_predicted():
    head = ColorMemory(**SIZES)
    with pytest.raises(UserError, match=r'the color memory is empty: set memory'):
        head(torch.randn(1, 8, 3, 5))
    assert head.to('meta')(torch.empty(1, 8, 3, 5, device='meta')).shape == (1, 2, 12, 20)


def test_files_without_a_fitting_memory_are_reported_in_one_line(tmp_path, file):
    def read(path, **sizes):
        ColorMemory(**{**SIZES, **sizes}, memory=str(path)).init_weights()

    with pytest.raises(FileNotFoundError, match=r'nowhere.* does not exist: .*build_color_memory'):
        read(tmp_path / 'nowhere')
    with pytest.raises(
        UserError, match=r'semantics of shape \(5, 4\), but the network has \(6, 4\)'
    ):
        read(file, num_semantics=6)
    with pytest.raises(
        UserError, match=r'colors of shape \(5, 3, 2\), but the network has \(5, 2, 2\)'
    ):
        read(file, num_colors=2)
    save_file({'x': torch.zeros(1)}, tmp_path / 'other')
    with pytest.raises(UserError, match='was not written by'):
        read(tmp_path / 'other')
    (tmp_path / 'cut').write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UserError, match='is damaged'):
        read(tmp_path / 'cut')
    assert read_memory(file).colors.shape == (5, 3, 2)


@pytest.mark.parametrize('wrong', ['in_channels', 'num_semantics', 'num_colors', 'upscale'])
def test_a_wrong_number_is_reported(wrong):
    with pytest.raises(ValueError, match=f'{wrong}=0'):
        MODELS.build(dict(SIZES, type='ColorMemory', **{wrong: 0}))


def test_colorizes_any_size(file):
    model = MODELS.build(
        dict(
            type='MultiscalePyramidTransformer',
            encoder=dict(
                type='DualAttention',
                in_channels=1,
                arch=dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), stem_channels=4),
                window_size=2,
                head_dim=8,
                group_dim=8,
            ),
            neck=dict(
                type='PixelShuffleNeck', in_channels=(8, 8, 16, 16), out_channels=(16, 16, 8)
            ),
            head=dict(SIZES, type='ColorMemory', memory=str(file)),
            num_queries=None,
        )
    )
    model.init_weights()
    assert model(100 * torch.rand(2, 1, 37, 50)).shape == (2, 2, 37, 50)
