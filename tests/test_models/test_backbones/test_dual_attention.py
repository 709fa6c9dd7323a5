"""The encoder: what it computes, its options, and the properties a backbone must have."""

import copy
import inspect
import pickle
import re
from pathlib import Path

import naive
import pytest
import torch
from mmengine import Config
from mmengine.registry import MODELS
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from dualattn_mm import DualAttention
from dualattn_mm.models.backbones.attention import DualBlock
from dualattn_mm.models.backbones.dual_attention import PatchConv2d

KEYS = Path(__file__).parents[2] / 'state_dict_keys'
ARCH = dict(embed_dims=(8, 16, 16, 24), depths=(1, 1, 2, 1), stem_channels=6)
SMALL = dict(arch=ARCH, window_size=3, head_dim=4, group_dim=8)
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


def small(**kwargs):
    return DualAttention(**{**SMALL, **kwargs})


def gradients(model, x, seed=0):
    """Outputs and gradients of a fixed random projection of all outputs."""
    torch.manual_seed(seed)
    model.zero_grad()
    outs = model(x)
    generator = torch.Generator().manual_seed(1)
    sum((o * torch.randn(o.shape, generator=generator)).sum() for o in outs).backward()
    return outs, {name: p.grad for name, p in model.named_parameters()}


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


# Training.


@pytest.mark.parametrize('order', [('sda', 'fca'), ('ca', 'da')])
def test_every_parameter_receives_a_gradient(order, perturb):
    model = perturb(small(order=order))
    _, grads = gradients(model, torch.randn(2, 3, 75, 70))
    bad = [k for k, g in grads.items() if g is None or not g.isfinite().all() or not g.any()]
    assert not bad


@pytest.mark.parametrize('drop_path_rate', [0.0, 0.6])
@pytest.mark.parametrize('order', [('sda',), ('fca',), ('sda', 'fca'), ('da', 'ca')])
def test_checkpointing_changes_nothing_but_recomputes(order, drop_path_rate, perturb):
    plain = perturb(small(order=order, drop_path_rate=drop_path_rate))
    saving = small(order=order, drop_path_rate=drop_path_rate, with_cp=True)
    saving.load_state_dict(plain.state_dict())
    calls = dict.fromkeys(order, 0)
    for name, module in saving.named_modules():
        if name.endswith('.attn'):
            kind = name.split('.')[-2]

            def hook(*_, kind=kind):
                calls[kind] += 1

            module.register_forward_pre_hook(hook)
    x = torch.randn(4, 3, 40, 56)
    (outs, grads), (same_outs, same_grads) = gradients(plain, x), gradients(saving, x)
    half_blocks = sum(ARCH['depths'])
    assert calls == dict.fromkeys(order, 2 * half_blocks), 'forward and recomputation'
    torch.testing.assert_close(same_outs, outs)
    torch.testing.assert_close(same_grads, grads)
    gradients(saving.eval(), x)
    assert calls == dict.fromkeys(order, 3 * half_blocks), 'no recomputation in evaluation'


def label_residuals(block):
    """Let each residual branch of a block add a power of 10 and nothing else: (count)."""
    power = 0
    for name, module in block.named_modules():
        if name.endswith(('.proj', '.fc2')):
            nn.init.zeros_(module.weight)
            nn.init.constant_(module.bias, 10.0**power)
            power += 1
    return power


def residuals_kept(block, samples, dim):
    """Per sample and residual branch, the factor that the branch got: 0, or 1 / keep."""
    added = block(torch.zeros(samples, 1, 2, dim, dtype=torch.float64))
    assert torch.equal(added, added[:, :1, :1, :1].expand_as(added)), 'one decision per sample'
    return added[:, 0, 0, 0]


@pytest.mark.parametrize('kinds', [('sda', 'fca'), ('da', 'ca')])
def test_drop_path_acts_on_all_four_residuals_of_a_pair(kinds):
    block = DualBlock(8, kinds, 3, 4, 8, drop_path_rates=(0.5, 0.5)).double()
    assert label_residuals(block) == 4
    kept = residuals_kept(block, 512, 8)
    # Kept branches are doubled, so each sum is 2 * (a number of four binary digits).
    digits = torch.tensor([[int(d) for d in f'{value / 2:04.0f}'] for value in kept.tolist()])
    assert digits.unique().tolist() == [0, 1]
    torch.testing.assert_close(kept, 2 * (digits @ torch.tensor([1000, 100, 10, 1])).double())
    assert ((digits.double().mean(0) - 0.5).abs() < 0.12).all()
    assert digits.unique(dim=0).shape[0] == 16, 'the four decisions are independent'
    assert (residuals_kept(block.eval(), 8, 8) == 1111).all()


def test_drop_path_rates_rise_linearly_to_the_last_half_block():
    rate = 0.6
    model = small(drop_path_rate=rate).double()
    expected = torch.linspace(0, rate, 2 * sum(ARCH['depths']), dtype=torch.float64).tolist()
    frequencies = []
    for stage, dim in zip(model.stages, ARCH['embed_dims'], strict=True):
        for block in stage.blocks:
            assert label_residuals(block) == 4
            pair = [expected.pop(0), expected.pop(0)]
            scales = [1 / (1 - r) for r in pair for _ in range(2)]
            left = residuals_kept(block, 2500, dim)
            for i in reversed(range(4)):  # the largest power first
                unit = scales[i] * 10**i
                kept = (left > 0.9 * unit).double()
                left = left - kept * unit
                frequencies.append((1 - kept.mean().item(), pair[i // 2]))
            assert left.abs().amax() < 1e-6, 'a kept branch is divided by its rate of survival'
    assert not expected
    assert all(abs(actual - wanted) < 0.04 for actual, wanted in frequencies)
    assert all(actual == 0 for actual, wanted in frequencies if wanted == 0)


def test_drop_path_is_inactive_in_evaluation():
    model = small(drop_path_rate=0.9)
    x = torch.randn(2, 3, 40, 40)
    first = model(x)[3]
    assert not torch.equal(first, model(x)[3])
    model.eval()
    reference = small().eval()
    reference.load_state_dict(model.state_dict())
    assert torch.equal(model(x)[3], reference(x)[3])


@pytest.mark.parametrize('frozen_stages', [-1, 0, 1, 2, 4])
def test_frozen_stages_freeze(frozen_stages):
    model = small(frozen_stages=frozen_stages, drop_path_rate=0.5, with_cp=True).train()
    prefixes = ['stem.'] if frozen_stages >= 0 else []
    for i in range(frozen_stages):
        prefixes += [f'downsamples.{i}.', f'stages.{i}.', f'norm{i}.']
    prefixes = tuple(prefixes)
    before = copy.deepcopy(model.state_dict())
    parameters = dict(model.named_parameters())
    frozen = {name for name in parameters if name.startswith(prefixes)}
    if frozen_stages < 4:
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
        gradients(model, torch.randn(4, 3, 64, 64))
        optimizer.step()
    assert {name for name, p in parameters.items() if p.grad is None} == frozen
    after = model.state_dict()
    assert {k for k in before if torch.equal(before[k], after[k])} == frozen
    for _ in range(2):
        training = {k for k, m in model.named_modules() if m.training and k not in ('', 'stages')}
        assert not [name for name in training if f'{name}.'.startswith(prefixes)]
        assert training or frozen_stages == 4
        model.eval().train()


def test_mmengine_init_cfg_loads_a_checkpoint(tmp_path):
    source = small()
    state = {f'backbone.{key}': value for key, value in source.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'weights.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth'), prefix='backbone.')
    model = small(order=('fca', 'sda'), init_cfg=init_cfg)
    model.init_weights()
    assert all(
        torch.equal(value, source.state_dict()[k]) for k, value in model.state_dict().items()
    )


def test_init_weights_without_init_cfg_keeps_the_initialization():
    model = small()
    before = copy.deepcopy(model.state_dict())
    model.init_weights()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_trains_as_a_plain_module():
    model = small(out_indices=(3,), gap_before_final_norm=True)
    classifier = nn.Linear(24, 3)
    optimizer = torch.optim.AdamW([*model.parameters(), *classifier.parameters()], lr=1e-2)
    x, target = torch.randn(3, 3, 33, 33), torch.tensor([0, 1, 2])
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(classifier(model(x)[0]), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


# Precision, compilation, storage.


def test_bfloat16_autocast_stays_close():
    arch = dict(embed_dims=(32, 64, 96, 96), depths=(1, 1, 3, 1), stem_channels=16)
    model = DualAttention(arch=arch).eval()
    x = torch.randn(2, 3, 96, 80)
    expected = model(x)
    with torch.autocast('cpu', torch.bfloat16):
        outs = model(x)
    for out, reference in zip(outs, expected, strict=True):
        assert not torch.equal(out.float(), reference)
        assert (out.float() - reference).norm() < 2e-2 * reference.norm()


@pytest.mark.slow
def test_compiled_equals_eager(perturb):
    """With inductor's decompositions and its division into forward and backward pass.

    The C++ that it would write for them, some thirty kernels, is not ours and takes a minute.
    """
    arch = dict(embed_dims=(8,), depths=(1,), stem_channels=4)
    model = perturb(small(arch=arch, out_indices=(0,))).eval()
    x = torch.randn(1, 3, 21, 30)
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend='aot_eager_decomp_partition')
    outs, gradients = zip(*(map_and_gradients(n, x) for n in (compiled, model)), strict=True)
    torch.testing.assert_close(*outs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)


def map_and_gradients(network, x):
    """The first map, and by its squares' sum the gradients."""
    out = network(x)[0]
    return out.detach(), torch.autograd.grad(out.square().sum(), network.parameters())


@pytest.mark.parametrize('mode', ['train', 'eval'])
@pytest.mark.slow
def test_network_compiles_to_one_graph(mode):
    """Every kind of stage and layer, with stochastic depth; a graph break is an error."""
    model = getattr(small(drop_path_rate=0.2), mode)()
    torch._dynamo.reset()
    traced = torch.compile(model, fullgraph=True, backend='eager', dynamic=False)
    for side in (64, 47):
        assert len(traced(torch.randn(2, 3, side, side))) == 4


@pytest.mark.parametrize(('height', 'width'), [(2, 2), (6, 10)])
def test_patch_convolution_is_the_convolution(height, width):
    conv = nn.Conv2d(5, 7, 2, stride=2)
    ours = PatchConv2d(5, 7, 2, stride=2).to(memory_format=torch.channels_last)
    ours.load_state_dict(conv.state_dict())
    x = torch.randn(3, 5, height, width, requires_grad=True)
    y = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    expected, out = conv(x), ours(y)
    torch.testing.assert_close(out, expected)
    expected.square().sum().backward()
    out.square().sum().backward()
    torch.testing.assert_close(y.grad, x.grad)
    for ours_p, theirs in zip(ours.parameters(), conv.parameters(), strict=True):
        torch.testing.assert_close(ours_p.grad, theirs.grad)


def test_copies_and_pickles_are_equal(perturb, tmp_path):
    model = perturb(small(drop_path_rate=0.2, with_cp=True, frozen_stages=1)).eval()
    x = torch.randn(1, 3, 33, 47)
    torch.save(model.state_dict(), tmp_path / 'state.pth')
    loaded = small().eval()
    loaded.load_state_dict(torch.load(tmp_path / 'state.pth', weights_only=True), strict=True)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), loaded):
        for out, reference in zip(other(x), model(x), strict=True):
            assert torch.equal(out, reference)


# Arguments.


def test_builds_from_a_config_file_with_lists(tmp_path):
    (tmp_path / 'model.py').write_text(
        "model = dict(type='DualAttention', arch=dict(embed_dims=[8, 16], depths=[1, 2],"
        " stem_channels=4), head_dim=8, group_dim=8, order=['fca', 'sda'], out_indices=[0, 1])\n"
    )
    for suffix in ('.py', '.json', '.yaml'):
        Config.fromfile(tmp_path / 'model.py').dump(tmp_path / f'again{suffix}')
        model = MODELS.build(Config.fromfile(tmp_path / f'again{suffix}').model)
        assert [tuple(out.shape) for out in model(torch.randn(1, 3, 33, 47))] == [
            (1, 8, 9, 12),
            (1, 16, 5, 6),
        ]


def arch_with(**kwargs):
    return dict(arch={**ARCH, **kwargs})


@pytest.mark.parametrize(
    ('kwargs', 'said'),
    [
        (dict(arch='huge'), ['arch', 'huge', 'tiny', 'small', 'base']),
        (dict(arch=3), ['arch', '3', 'tiny', 'embed_dims']),
        (dict(arch=None), ['arch', 'None', 'tiny', 'embed_dims']),
        (dict(arch=dict(embed_dims=(8,))), ['arch', 'embed_dims', 'depths', 'stem_channels']),
        (arch_with(dropout=0.1), ['arch', 'dropout', 'embed_dims', 'depths', 'stem_channels']),
        (arch_with(depths=(1, 1)), ['arch', 'depths', '(1, 1)']),
        (arch_with(depths=(1, 1, 0, 1)), ['arch', 'depths', '(1, 1, 0, 1)']),
        (arch_with(depths=2), ['arch', 'depths', '2']),
        (arch_with(depths='1111'), ['arch', 'depths', '1111']),
        (arch_with(embed_dims=(8, 8.5, 8, 8)), ['arch', 'embed_dims', '8.5']),
        (arch_with(stem_channels=0), ['arch', 'stem_channels', '0']),
        (dict(in_channels=0), ['in_channels', '0']),
        (dict(in_channels='3'), ['in_channels', "'3'"]),
        (dict(window_size=0), ['window_size', '0']),
        (dict(window_size=7.0), ['window_size', '7.0']),
        (dict(window_size=(7, 7)), ['window_size', '(7, 7)']),
        (dict(head_dim=5), ['head_dim', '5', 'embed_dim', '8']),
        (dict(head_dim=-4), ['head_dim', '-4']),
        (dict(group_dim=16), ['group_dim', '16', 'embed_dim', '8']),
        (dict(group_dim=0), ['group_dim', '0']),
        (dict(order=()), ['order', '()', 'sda', 'fca', 'da', 'ca']),
        (dict(order='sda'), ['order', 'sda', 'sequence']),
        (dict(order=('sda', 'mha')), ['order', 'mha', 'sda', 'fca', 'da', 'ca']),
        (dict(order=(['sda'],)), ['order', "['sda']", 'fca']),
        (dict(order=None), ['order', 'None']),
        (dict(mlp_ratio=0), ['mlp_ratio', '0']),
        (dict(mlp_ratio='4'), ['mlp_ratio', "'4'"]),
        (dict(fca_scale='sqrt'), ['fca_scale', 'sqrt', 'channel', 'group', 'tokens']),
        (dict(fca_scale=None), ['fca_scale', 'None', 'channel', 'group', 'tokens']),
        (dict(drop_path_rate=1.0), ['drop_path_rate', '1.0', '[0, 1)']),
        (dict(drop_path_rate=-0.1), ['drop_path_rate', '-0.1']),
        (dict(drop_path_rate=float('nan')), ['drop_path_rate', 'nan']),
        (dict(drop_path_rate='0.1'), ['drop_path_rate', "'0.1'"]),
        (dict(out_indices=()), ['out_indices', '()', '0', '3']),
        (dict(out_indices='3'), ['out_indices', "'3'", 'sequence']),
        (dict(out_indices=(0, 4)), ['out_indices', '(0, 4)', '3']),
        (dict(out_indices=(-5,)), ['out_indices', '(-5,)', '0', '3']),
        (dict(out_indices=(-1, 0)), ['out_indices', '(3, 0)', 'increasing']),
        (dict(out_indices=(3, -1)), ['out_indices', '(3, 3)', 'increasing']),
        (dict(out_indices=(1, 1)), ['out_indices', '(1, 1)']),
        (dict(out_indices=([0], 1)), ['out_indices', '([0], 1)']),
        (dict(frozen_stages=5), ['frozen_stages', '5', '-1', '4']),
        (dict(frozen_stages=-2), ['frozen_stages', '-2', '-1', '4']),
        (dict(frozen_stages=1.0), ['frozen_stages', '1.0', '-1', '4']),
        (dict(frozen_stages=None), ['frozen_stages', 'None', '-1', '4']),
    ],
    ids=str,
)
def test_wrong_argument_error_names_value_and_allowed_values(kwargs, said):
    with pytest.raises(ValueError) as info:  # noqa: PT011 (the words are checked below)
        small(**kwargs)
    assert not [word for word in said if word not in str(info.value)]


def test_inference_overwrites_nothing_that_is_needed(perturb):
    # without gradients the activations work in place
    model = perturb(small()).eval()
    x = torch.randn(2, 3, 45, 38)
    before, with_gradients = x.clone(), model(x)
    with torch.inference_mode():
        outs = model(x)
    assert torch.equal(x, before)
    for out, expected in zip(outs, with_gradients, strict=True):
        torch.testing.assert_close(out, expected.detach(), rtol=1e-5, atol=1e-5)
