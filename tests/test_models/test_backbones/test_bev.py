"""The bird's-eye-view form, next to mmdet3d's SECOND."""

import inspect
from pathlib import Path

import naive
import pytest
import torch

pytest.importorskip('mmcv')

from dualattn_mm import DualAttentionBEV
from dualattn_mm.utils.errors import UserError

pytestmark = pytest.mark.integration

# As mmdet3d's configs give them: SECOND and PointPillars on KITTI, and CenterPoint on nuScenes.
KITTI_SECOND = dict(
    in_channels=256, layer_nums=[5, 5], layer_strides=[1, 2], out_channels=[128, 256]
)
KITTI_PILLARS = dict(
    in_channels=64, layer_nums=[3, 5, 5], layer_strides=[2, 2, 2], out_channels=[64, 128, 256]
)
CENTERPOINT_VOXEL = dict(
    **KITTI_SECOND,
    norm_cfg=dict(type='BN', eps=1e-3, momentum=0.01),
    conv_cfg=dict(type='Conv2d', bias=False),
)
CENTERPOINT_PILLAR = dict(
    **KITTI_PILLARS,
    norm_cfg=dict(type='BN', eps=1e-3, momentum=0.01),
    conv_cfg=dict(type='Conv2d', bias=False),
)
SMALL = dict(in_channels=6, out_channels=(32, 64), layer_nums=(5, 5), layer_strides=(1, 2))


@pytest.fixture(scope='module')
def second(openmmlab):
    return openmmlab['mmdet3d'].MODELS.get('SECOND')


@pytest.mark.parametrize(
    ('kwargs', 'height', 'width'),
    [
        (KITTI_SECOND, 200, 176),
        (KITTI_PILLARS, 496, 432),
        (CENTERPOINT_VOXEL, 128, 128),
        (CENTERPOINT_VOXEL, 180, 180),
        (CENTERPOINT_PILLAR, 512, 512),
        (CENTERPOINT_PILLAR, 45, 51),
        ({}, 33, 70),
    ],
)
def test_output_shapes_are_those_of_second(second, kwargs, height, width):
    with torch.device('meta'):
        x = torch.empty(2, kwargs.get('in_channels', 128), height, width)
        ours, theirs = DualAttentionBEV(**kwargs)(x), second(**kwargs)(x)
    assert isinstance(ours, tuple)
    assert [out.shape for out in ours] == [out.shape for out in theirs]


def test_arguments_are_those_of_second(second):
    ours = list(inspect.signature(DualAttentionBEV).parameters.values())
    theirs = list(inspect.signature(second).parameters.values())
    assert [p.name for p in ours[len(theirs) :]] == ['depths', 'mlp_ratio', 'with_cp']
    for ours_p, theirs_p in zip(ours, theirs, strict=False):
        default = theirs_p.default
        assert ours_p.name == theirs_p.name
        assert ours_p.default == (tuple(default) if isinstance(default, list) else default)


@pytest.mark.parametrize(
    ('layer_nums', 'depths'), [((5, 5), (1, 1)), ((3, 5, 5), (1, 1, 1)), ((1, 6, 8), (1, 1, 2))]
)
def test_depths_follow_from_layer_nums(layer_nums, depths):
    n = len(layer_nums)
    model = DualAttentionBEV(4, (32,) * n, layer_nums, (1,) * n)
    assert tuple(len(stage.blocks) for stage in model.stages) == depths
    explicit = DualAttentionBEV(4, (32,) * n, layer_nums, (1,) * n, depths=(1, 3, 1)[:n])
    assert tuple(len(stage.blocks) for stage in explicit.stages) == (1, 3, 1)[:n]


@pytest.mark.parametrize(('mlp_ratio', 'hidden'), [(4, [128, 256]), (1.5, [48, 96])])
def test_mlp_ratio_sets_the_width_of_the_feed_forward_networks(mlp_ratio, hidden):
    model = DualAttentionBEV(**SMALL, mlp_ratio=mlp_ratio)
    for stage, width in zip(model.stages, hidden, strict=True):
        for half_block in stage.blocks[0].children():
            assert half_block.ffn.fc1.out_features == half_block.ffn.fc2.in_features == width


def test_checkpointing_recomputes_and_changes_nothing(perturb):
    plain = perturb(DualAttentionBEV(**SMALL))
    saving = DualAttentionBEV(**SMALL, with_cp=True)
    saving.load_state_dict(plain.state_dict())
    calls = []
    for stage in saving.stages:
        for half_block in stage.blocks[0].children():
            half_block.norm1.register_forward_pre_hook(lambda *_: calls.append(1))
    x, results = torch.randn(2, 6, 25, 22), []
    for model in (plain, saving):
        outs = model(x)
        sum(out.square().sum() for out in outs).backward()
        results.append((outs, [p.grad for p in model.parameters()], list(model.buffers())))
    torch.testing.assert_close(results[1], results[0])
    assert len(calls) == 2 * 4, 'forward and recomputation'


@pytest.fixture
def checkpoint(tmp_path):
    source = DualAttentionBEV(**SMALL)
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'start.pth')
    return str(tmp_path / 'start.pth'), source.state_dict()


def test_pretrained_is_deprecated_and_loads_a_checkpoint(checkpoint):
    file, state = checkpoint
    with pytest.warns(FutureWarning, match='pretrained is deprecated; use init_cfg'):
        model = DualAttentionBEV(**SMALL, pretrained=file)
    model.init_weights()
    for name, value in state.items():
        assert torch.equal(model.state_dict()[name], value), name


def test_pretrained_that_does_not_fit_is_an_error(checkpoint):
    model = DualAttentionBEV(
        **SMALL, mlp_ratio=2, init_cfg=dict(type='Pretrained', checkpoint=checkpoint[0])
    )
    with pytest.raises(UserError, match=r'start\.pth does not fit DualAttentionBEV: \d+ '):
        model.init_weights()


@pytest.mark.parametrize(('height', 'width'), [(25, 22), (45, 45), (3, 70), (16, 16)])
def test_computes_strided_convolution_and_pairs_without_output_norm(height, width, perturb):
    model = perturb(DualAttentionBEV(**SMALL)).double().eval()
    for name, buffer in model.named_buffers():
        if 'running' in name:
            buffer.uniform_(0.5, 2)
    x = torch.randn(2, 6, height, width, dtype=torch.float64)
    state, expected = model.state_dict(), x
    outs = model(x)
    for i, stride in enumerate((1, 2)):
        entry = naive.sub(state, f'stages.{i}.entry')
        expected = torch.nn.functional.conv2d(expected, entry['0.weight'], None, stride, 1)
        mean, var, weight, bias = (
            entry[f'1.{name}'][:, None, None]
            for name in ('running_mean', 'running_var', 'weight', 'bias')
        )
        expected = ((expected - mean) / (var + 1e-3).sqrt() * weight + bias).clamp(min=0)
        for kind in ('sda', 'fca'):
            block = naive.sub(state, f'stages.{i}.blocks.0.{kind}')
            expected = naive.half_block(
                expected, block, kind, window_size=8, head_dim=32, group_dim=32
            )
        torch.testing.assert_close(outs[i], expected, rtol=1e-4, atol=1e-4)
        assert outs[i].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(('height', 'width'), [(25, 22), (45, 45)])
def test_every_parameter_receives_a_gradient(height, width, perturb):
    model = perturb(DualAttentionBEV(**SMALL))
    outs = model(torch.randn(2, 6, height, width))
    sum((out * torch.randn_like(out)).sum() for out in outs).backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    assert not [k for k, g in grads.items() if g is None or not g.isfinite().all() or not g.any()]


def test_memory_format_of_the_input_does_not_matter(perturb):
    model = perturb(DualAttentionBEV(**SMALL)).eval()
    x = torch.randn(2, 6, 25, 22)
    kept = x.clone()
    expected = model(x)
    for image in (x.contiguous(memory_format=torch.channels_last), x.expand(2, 6, 25, 22)):
        torch.testing.assert_close(model(image), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(x, kept), 'the in-place ReLU must not reach the input'


def test_norm_and_convolution_come_from_their_configs():
    model = DualAttentionBEV(
        **SMALL, norm_cfg=dict(type='GN', num_groups=4), conv_cfg=dict(type='Conv2d', bias=True)
    )
    entry = model.stages[1].entry
    assert isinstance(entry[1], torch.nn.GroupNorm)
    assert entry[0].bias is not None
    plain = DualAttentionBEV(**SMALL, conv_cfg=None).stages[0].entry[0]
    assert type(plain) is torch.nn.Conv2d


def test_state_dict_keys_are_the_stored_ones():
    with torch.device('meta'):
        model = DualAttentionBEV(out_channels=(64, 128), layer_nums=(5, 5), layer_strides=(1, 2))
    lines = [f'{key} {tuple(value.shape)}' for key, value in model.state_dict().items()]
    stored = Path(__file__).parents[2] / 'state_dict_keys' / 'dual_attention_bev.txt'
    assert sorted(lines) == stored.read_text().splitlines()


@pytest.mark.parametrize(
    ('kwargs', 'said'),
    [
        (dict(layer_strides=(2,)), ['layer_strides', '(2,)', '2 numbers']),
        (dict(layer_nums=(5, 5, 5)), ['layer_nums', '(5, 5, 5)', '2 numbers']),
        (dict(depths=(1,)), ['depths', '(1,)', '2 numbers']),
        (dict(out_channels=(32, 48)), ['out_channels', '(32, 48)', 'multiples of 32']),
        (dict(out_channels=(0, 32)), ['out_channels', '(0, 32)', 'positive integers']),
        (dict(in_channels=0), ['in_channels', '0']),
        (dict(depths=(0, 1)), ['depths', '(0, 1)']),
        (dict(layer_strides=(0, 2)), ['layer_strides', '(0, 2)']),
        (dict(layer_nums=5), ['layer_nums', '5']),
        (dict(mlp_ratio=0), ['mlp_ratio', '0', 'above 0']),
        (dict(norm_cfg=None), ['norm_cfg', 'None', 'a dict with a type']),
        (dict(mlp_ratio=float('nan')), ['mlp_ratio', 'nan']),
        (
            dict(pretrained='a.pth', init_cfg=dict(type='Pretrained', checkpoint='b.pth')),
            ['pretrained', 'a.pth', 'None if init_cfg is given'],
        ),
    ],
    ids=str,
)
def test_wrong_argument_error_names_value_and_allowed_values(kwargs, said):
    with pytest.raises(ValueError) as info:  # noqa: PT011 (the words are checked below)
        DualAttentionBEV(**{**SMALL, **kwargs})
    assert not [word for word in said if word not in str(info.value)]
