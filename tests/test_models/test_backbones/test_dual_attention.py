"""The encoder: its definition, what it computes, and the orders of attention."""

import copy
import inspect
import re
from pathlib import Path

import naive
import pytest
import torch
from small_encoder import ARCH, gradients, small
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from dualattn_mm import DualAttention

KEYS = Path(__file__).parents[2] / 'state_dict_keys'
# The paper's Table III.
TABLE_3 = [
    ('fca', 'sda'),
    ('fca', 'da'),
    ('ca', 'sda'),
    ('sda', 'fca'),
    ('da', 'fca'),
    ('sda', 'ca'),
    ('fca', 'fca'),
    ('sda', 'sda'),
    ('fca',),
    ('sda',),
]


def count(**kwargs):
    with torch.device('meta'):
        return sum(p.numel() for p in DualAttention(**kwargs).parameters())


@pytest.mark.parametrize(
    ('arch', 'dim', 'with_head', 'without_head'),
    [
        ('tiny', 768, 28_484_296, 27_716_640),
        ('small', 768, 46_344_136, 45_576_480),
        ('base', 1024, 82_019_304, 80_996_096),
    ],
)
def test_parameter_counts_are_those_of_the_specification(arch, dim, with_head, without_head):
    assert count(arch=arch) == without_head
    classifier = dim * 1000 + 1000
    headless = count(arch=arch, out_indices=(3,), gap_before_final_norm=True)
    assert headless + classifier == with_head


def test_window_size_and_head_sizes_change_no_parameter():
    reference = small().state_dict()
    other = small(window_size=12, head_dim=8, group_dim=4, fca_scale='tokens').state_dict()
    assert {k: v.shape for k, v in other.items()} == {k: v.shape for k, v in reference.items()}


def test_defaults_are_those_of_the_specification():
    expected = dict(
        arch='tiny',
        in_channels=3,
        window_size=7,
        head_dim=32,
        group_dim=32,
        order=('sda', 'fca'),
        mlp_ratio=4,
        fca_scale='channel',
        drop_path_rate=0.0,
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        gap_before_final_norm=False,
        with_cp=False,
        init_cfg=None,
    )
    actual = inspect.signature(DualAttention).parameters.values()
    assert {p.name: p.default for p in actual} == expected


def test_state_dict_keys_are_the_stored_ones():
    with torch.device('meta'):
        state = DualAttention().state_dict()
    lines = [f'{key} {tuple(value.shape)}' for key, value in state.items()]
    assert sorted(lines) == (KEYS / 'dual_attention_tiny.txt').read_text().splitlines()
    half_block = r'(norm[12]|attn\.(qkv|dwconv|proj)|ffn\.(fc1|fc2))\.(weight|bias)'
    pattern = (
        rf'stages\.\d\.blocks\.\d\.(sda|fca)\.{half_block}|stem\..+|downsamples\.\d\..+'
        r'|norm[0-3]\.(weight|bias)'
    )
    assert not [key for key in state if not re.fullmatch(pattern, key)]


def test_every_norm_has_the_epsilon_of_the_specification():
    norms = [m for m in small().modules() if isinstance(m, nn.LayerNorm)]
    assert len(norms) == 2 + 4 + 4 * sum(ARCH['depths']) + 4
    assert {norm.eps for norm in norms} == {1e-5}


def test_initialization_is_the_chosen_one():
    model = DualAttention()
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
    biases = [m.bias for m in model.modules() if isinstance(m, nn.Linear)]
    assert all(0.018 < w.std() < 0.021 and abs(w.mean()) < 1e-3 for w in weights)
    assert not any(b.any() for b in biases)
    for conv in (m for m in model.modules() if isinstance(m, nn.Conv2d)):
        bound = conv.weight[0].numel() ** -0.5  # PyTorch's default is uniform within it
        assert 0.9 * bound < conv.weight.abs().amax() <= bound


@pytest.mark.parametrize(
    ('order', 'fca_scale'),
    [
        (('sda', 'fca'), 'channel'),
        (('fca', 'sda'), 'group'),
        (('sda', 'fca'), 'tokens'),
        (('ca', 'da'), 'channel'),
        (('sda',), 'channel'),
    ],
)
@pytest.mark.parametrize(('height', 'width'), [(33, 47), (75, 38)])
def test_encoder_computes_the_equations_of_the_paper(height, width, order, fca_scale, perturb):
    model = perturb(small(order=order, fca_scale=fca_scale)).double()
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    sizes = dict(window_size=3, head_dim=4, group_dim=8, scale=fca_scale)
    expected = naive.encoder(x, model.state_dict(), ARCH['depths'], order, **sizes)
    for out, reference in zip(model(x), expected, strict=True):
        torch.testing.assert_close(out, reference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(('height', 'width'), [(33, 47), (224, 224), (32, 32), (1, 1), (5, 100)])
def test_output_shapes_at_any_size(height, width):
    outs = small()(torch.randn(1, 3, height, width))
    assert isinstance(outs, tuple)
    assert len(outs) == 4
    for i, out in enumerate(outs):
        down = 2 ** (i + 2)
        assert out.shape == (1, ARCH['embed_dims'][i], -(-height // down), -(-width // down))
        assert out.is_contiguous(memory_format=torch.channels_last)
        assert out.isfinite().all()


@pytest.mark.parametrize('out_indices', [(0,), (3,), (1, 3), (0, 1, 2), [2, 3]])
def test_out_indices_select_maps(out_indices):
    x = torch.randn(1, 3, 40, 56)
    full, part = small(), small(out_indices=out_indices)
    missing, unexpected = part.load_state_dict(full.state_dict(), strict=False)
    assert not missing
    left_out = set(range(4)) - set(out_indices)
    assert {key.split('.')[0] for key in unexpected} == {f'norm{i}' for i in left_out}
    expected = [full(x)[i] for i in out_indices]
    for out, reference in zip(part(x), expected, strict=True):
        assert torch.equal(out, reference)


@pytest.mark.parametrize(
    ('given', 'stages'),
    [(-1, (3,)), (0, (0,)), ((-1,), (3,)), ((-3, -1), (1, 3)), ((0, -1), (0, 3))],
)
def test_out_indices_may_be_one_number_or_count_from_the_end(given, stages):
    model = small(out_indices=given)
    assert model.out_indices == stages
    expected = small(out_indices=stages)
    assert list(model.state_dict()) == list(expected.state_dict())
    shapes = [m.shape for m in model(torch.rand(1, 3, 32, 32))]
    assert shapes == [m.shape for m in expected(torch.rand(1, 3, 32, 32))]


def test_torchvision_extracts_features_at_any_size(perturb):
    model = perturb(small()).eval()
    seen = {}
    for name in ('stages.1.blocks.0', 'stages.3.blocks'):
        model.get_submodule(name).register_forward_hook(
            lambda module, args, out, name=name: seen.update({name: out})
        )
    extract = create_feature_extractor(
        model,
        {'stages.1.blocks.0': 'middle', 'stages.3.blocks.0': 'last', 'norm2': 'normed'},
        tracer_kwargs=dict(leaf_modules=DualAttention.leaf_modules),
    )
    for size in ((32, 32), (33, 70)):
        image = torch.rand(2, 3, *size)
        found = extract(image)
        maps = model(image)
        torch.testing.assert_close(found['middle'], seen['stages.1.blocks.0'])
        torch.testing.assert_close(found['last'], seen['stages.3.blocks'])
        torch.testing.assert_close(found['normed'].permute(0, 3, 1, 2), maps[2])


@pytest.mark.parametrize('out_indices', [(3,), (1, 3), (0, 2)])
def test_gap_before_final_norm_is_the_norm_of_the_mean(out_indices, perturb):
    model = perturb(small(out_indices=out_indices))
    pooled = small(out_indices=out_indices, gap_before_final_norm=True)
    pooled.load_state_dict(model.state_dict())
    norm = getattr(model, f'norm{out_indices[-1]}')
    seen = []
    norm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x = torch.randn(2, 3, 40, 56)
    *expected, _ = model(x)
    before = seen[0] if seen[0].shape[-1] == norm.normalized_shape[0] else seen[0].mT
    outs = pooled(x)
    assert outs[-1].shape == (2, ARCH['embed_dims'][out_indices[-1]])
    mean = before.flatten(1, -2).mean(1)
    mean = (mean - mean.mean(1, keepdim=True)) / (mean.var(1, False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(outs[-1], mean * norm.weight + norm.bias, rtol=1e-4, atol=1e-5)
    for out, reference in zip(outs[:-1], expected, strict=True):
        assert torch.equal(out, reference)


@pytest.mark.parametrize('in_channels', [1, 3])
def test_memory_format_of_input_and_weights_does_not_matter(in_channels, perturb):
    model = perturb(small(in_channels=in_channels))
    x = torch.randn(2, in_channels, 33, 47)
    expected = model(x)
    contiguous = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    for other, image in (
        (model, x.contiguous(memory_format=torch.channels_last)),
        (contiguous, x),
        (contiguous, x.contiguous(memory_format=torch.channels_last)),
        (model, x.repeat_interleave(2, dim=-1)[..., ::2]),
    ):
        for out, reference in zip(other(image), expected, strict=True):
            assert out.is_contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(out, reference, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('in_channels', [1, 3])
def test_weights_are_contiguous(in_channels):
    """As FSDP, safetensors' save_file and parameters_to_vector require."""
    assert all(p.is_contiguous() for p in small(in_channels=in_channels).parameters())


def test_hooks_keep_what_a_layer_returned(perturb):
    model, seen = perturb(small()).eval(), []
    layers = [model.stem.norm1, model.stem.norm2, model.stages[0].blocks[0].sda.ffn.fc1]
    for layer in layers:
        layer.register_forward_hook(lambda _, inputs, out: seen.append((out, out.clone())))
    with torch.no_grad():
        model(torch.randn(1, 3, 40, 40))
    assert len(seen) == 3
    assert all(torch.equal(kept, copied) for kept, copied in seen)


# Orders of attention.


@pytest.mark.parametrize('order', TABLE_3, ids='-'.join)
def test_every_row_of_table_3_is_a_value_of_order(order):
    model = small(order=order)
    called = []
    for name, module in model.stages.named_modules():
        if re.fullmatch(r'\d\.blocks\.\d\.\w+', name):
            module.register_forward_hook(lambda *_, name=name: called.append(name))
    _, grads = gradients(model, torch.randn(1, 3, 64, 64))
    depths = enumerate(ARCH['depths'])
    names = order if len(set(order)) == len(order) else (order[0], f'{order[0]}2')
    expected = [f'{i}.blocks.{j}.{name}' for i, n in depths for j in range(n) for name in names]
    assert called == expected
    assert all(g is not None and g.isfinite().all() for g in grads.values())
    depthwise = [name for name in grads if 'dwconv.weight' in name]
    assert len(depthwise) == 5 * sum(kind in ('sda', 'fca') for kind in order)


def test_weights_of_one_order_load_into_the_other(perturb):
    sda_first = perturb(small(order=('sda', 'fca')))
    fca_first = small(order=('fca', 'sda'))
    fca_first.load_state_dict(sda_first.state_dict(), strict=True)
    x = torch.randn(1, 3, 40, 56)
    assert (sda_first(x)[0] - fca_first(x)[0]).abs().amax() > 0.1


def test_repeated_kinds_are_numbered():
    keys = small(order=('fca', 'fca', 'sda', 'fca')).stages.state_dict()
    assert {key.split('.')[3] for key in keys} == {'fca', 'fca2', 'sda', 'fca3'}
