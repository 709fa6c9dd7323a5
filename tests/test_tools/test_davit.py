"""Converted DaViT weights in DualAttention, against timm's and mmpretrain's DaViT."""

from functools import partial

import pytest
import torch
from mmengine import DefaultScope
from mmengine.registry import MODELS

from dualattn_mm import DualAttention
from dualattn_mm.utils.errors import UserError
from tools.model_converters.davit_to_dualattn import convert_davit

DIMS, DEPTHS, HEADS = (8, 16, 32, 64), (1, 1, 2, 1), (1, 2, 4, 8)
ARCH = dict(embed_dims=DIMS, depths=DEPTHS, stem_channels=16)
SIDE = 8  # of a map that one window covers, so that square and dilated windows are the same
BLOCKS = [(i, j) for i, depth in enumerate(DEPTHS) for j in range(depth)]
STEM = {
    *('stem.conv1.weight', 'stem.norm1.weight', 'stem.norm1.bias'),
    *('stem.conv2.weight', 'stem.norm2.weight', 'stem.norm2.bias'),
    *('downsamples.0.norm.weight', 'downsamples.0.norm.bias'),
    *('downsamples.0.conv.weight', 'downsamples.0.conv.bias'),
}


class Timm:
    """timm's DaViT; its parts map (B, H, W, C) to the same here."""

    def __init__(self, **kwargs):
        davit = pytest.importorskip('timm.models.davit')
        sizes = dict(embed_dims=DIMS, depths=DEPTHS, num_heads=HEADS, num_classes=5)
        self.model = davit.DaVit(**{**sizes, 'window_size': SIDE, **kwargs})

    def block(self, i, j, kind):
        return nchw(self.model.stages[i].blocks[j][('sda', 'fca').index(kind)])

    def downsample(self, i):
        return nchw(self.model.stages[i].downsample)

    def classify(self, x):
        """Of a map of one pixel: libraries differ in what comes first, norm or pooling."""
        return self.model.head(x.permute(0, 3, 1, 2))


class Mmpretrain:
    """mmpretrain's classifier with a DaViT, with the same interface."""

    def __init__(self, arch=None, num_classes=5, dim=DIMS[-1]):
        arch = arch or dict(embed_dims=DIMS[0], depths=DEPTHS, num_heads=HEADS)
        classifier = dict(
            type='ImageClassifier',
            backbone=dict(type='DaViT', arch=arch, window_size=SIDE),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=num_classes, in_channels=dim),
        )
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            self.model = MODELS.build(classifier)
        self.stages = self.model.backbone.stages

    def block(self, i, j, kind):
        block = self.stages[i].blocks[j]
        return tokens({'sda': block.spatial_block, 'fca': block.channel_block}[kind])

    def downsample(self, i):
        return tokens(lambda x, size: self.stages[i - 1].downsample(x, size)[0])

    def classify(self, x):
        return self.model.head.fc(self.model.backbone.norm3(x)[:, 0, 0])


def nchw(module):
    return lambda x: module(x.permute(0, 3, 1, 2).contiguous()).permute(0, 2, 3, 1)


def tokens(module):
    def call(x):
        batch, height, width, _ = x.shape
        out = module(x.flatten(1, 2), (height, width))
        side = round(out.shape[1] ** 0.5)
        return out.reshape(batch, side, side, -1)

    return call


def ours(converted, **kwargs):
    """DualAttention with the converted weights, all of them and no other."""
    state = {
        key.removeprefix('backbone.'): value
        for key, value in converted.state_dict.items()
        if key.startswith('backbone.')
    }
    kwargs = dict(window_size=SIDE, fca_scale='group', out_indices=(3,)) | kwargs
    if isinstance(converted.arch, dict):
        kwargs |= dict(head_dim=8, group_dim=8)
    model = DualAttention(converted.arch, **kwargs)
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


@pytest.fixture(scope='module', params=[Timm, Mmpretrain])
def library(request, openmmlab):
    return request.param


@pytest.fixture(scope='module')
def davit(library, perturb):
    """A DaViT with random weights (no zero bias, no unit norm) and no positional convolutions."""
    torch.manual_seed(1)
    davit = library()
    perturb(davit.model, std=0.1).eval()
    for name, parameter in davit.model.named_parameters():
        if '.cpe' in name:
            parameter.data.zero_()
    return davit


@pytest.fixture(scope='module')
def converted(davit):
    return convert_davit(davit.model.state_dict(), ARCH)


@pytest.fixture(scope='module')
def model(converted):
    return ours(converted)


@torch.no_grad()
def difference(a, b, x):
    a, b = a(x), b(x)
    assert a.shape == b.shape
    assert b.std() > 0.1
    return (a - b).abs().max().item()


@pytest.mark.parametrize('kind', ['sda', 'fca'])
@pytest.mark.parametrize(('i', 'j'), BLOCKS)
def test_blocks(davit, model, i, j, kind):
    x = torch.randn(2, SIDE, SIDE, DIMS[i])
    block = getattr(model.stages[i]['blocks'][j], kind)
    assert difference(block, davit.block(i, j, kind), x) < 1e-5
    others = [davit.block(*other, kind) for other in BLOCKS if DIMS[other[0]] == DIMS[i]]
    assert sum(difference(block, other, x) < 0.01 for other in others) == 1


def test_blocks_are_not_equal_by_chance(davit, converted):
    """With the printed scale, or the places of q, k and v as they are, channel blocks differ."""
    x = torch.randn(2, SIDE, SIDE, DIMS[2])
    theirs = davit.block(2, 1, 'fca')
    other_scale = ours(converted, fca_scale='channel').stages[2]['blocks'][1].fca
    assert difference(other_scale, theirs, x) > 0.01
    attn = (other := ours(converted).stages[2]['blocks'][1].fca).attn
    k, v, q = attn.qkv.weight.detach().chunk(3)
    attn.qkv.weight.data = torch.cat((q, k, v))
    assert difference(other, theirs, x) > 0.01


@pytest.mark.parametrize('i', [1, 2, 3])
def test_downsampling(davit, model, i):
    x = torch.randn(2, SIDE, SIDE, DIMS[i - 1])
    assert difference(model.downsamples[i], davit.downsample(i), x) < 1e-5


def test_classifier(davit, converted, model):
    weight, bias = (converted.state_dict[f'head.fc.{kind}'] for kind in ('weight', 'bias'))
    x = torch.randn(4, 1, 1, DIMS[3])
    with torch.no_grad():
        result = torch.nn.functional.linear(model.norm3(x.mean(dim=(1, 2))), weight, bias)
        torch.testing.assert_close(result, davit.classify(x), atol=1e-5, rtol=0)


def test_both_libraries_give_the_same(openmmlab, perturb):
    timm, other = Timm(), Mmpretrain()
    perturb(timm.model)
    theirs = timm.model
    backbone = other.model.backbone
    for i, stage in enumerate(theirs.stages):  # in order: positional, norm, attention, ...
        pairs = zip(stage.blocks.parameters(), backbone.stages[i].blocks.parameters(), strict=True)
        for source, target in pairs:
            target.data.copy_(source.data)
    for i in (1, 2, 3):
        down = backbone.stages[i - 1].downsample
        down.norm.load_state_dict(theirs.stages[i].downsample.norm.state_dict())
        down.projection.load_state_dict(theirs.stages[i].downsample.conv.state_dict())
    backbone.norm3.load_state_dict(theirs.head.norm.state_dict())
    other.model.head.fc.load_state_dict(theirs.head.fc.state_dict())

    a = convert_davit(theirs.state_dict(), ARCH)
    b = convert_davit(other.model.state_dict(), ARCH)
    assert (a.library, b.library) == ('timm', 'mmpretrain')
    assert a.state_dict.keys() == b.state_dict.keys()
    for key, value in a.state_dict.items():
        assert torch.equal(value, b.state_dict[key]), key


@pytest.mark.parametrize(
    ('arch', 'dims', 'parameters'),
    [
        ('tiny', DualAttention.arch_zoo['tiny']['embed_dims'], 28_484_296),
        ('small', DualAttention.arch_zoo['small']['embed_dims'], 46_344_136),
        ('base', DualAttention.arch_zoo['base']['embed_dims'], 82_019_304),
    ],
)
def test_published_sizes(library, arch, dims, parameters, monkeypatch):
    """Only shapes are compared, on the meta device."""
    # mmpretrain asks for the values of its drop rates
    monkeypatch.setattr(torch, 'linspace', partial(torch.linspace, device='cpu'))
    with torch.device('meta'):
        if library is Timm:
            depths = (1, 1, 3 if arch == 'tiny' else 9, 1)
            heads = [dim // 32 for dim in dims]
            davit = Timm(embed_dims=dims, depths=depths, num_heads=heads, num_classes=1000)
        else:
            davit = Mmpretrain(arch, 1000, dims[-1])
    state = davit.model.state_dict()
    with torch.device('meta'):
        converted = convert_davit(state)
        ours(converted)
    assert converted.arch == arch
    keys = converted.mapped, converted.identity, converted.initialized
    assert sorted(sum(keys, ())) == sorted(converted.state_dict)
    assert sum(map(converted.count, keys)) == parameters
    assert set(converted.initialized) == {f'backbone.{key}' for key in STEM}
    assert {key for key in converted.state_dict if 'dwconv' in key} == set(converted.identity)

    if library is Timm:
        start, blocks, layers = '', ('0', '1'), {'stem.conv', 'stem.norm'}
    else:
        start, blocks = 'backbone.', ('spatial_block', 'channel_block')
        layers = {'backbone.patch_embed.projection', 'backbone.patch_embed.norm'}
    for i, depth in enumerate((1, 1, 3 if arch == 'tiny' else 8, 1)):
        layers |= {
            f'{start}stages.{i}.blocks.{j}.{block}.cpe{n}.proj'
            for j in range(depth)
            for block in blocks
            for n in (1, 2)
        }
    left_out = {f'{name}.{kind}' for name in layers for kind in ('weight', 'bias')}
    ninth = {key for key in state if key.startswith(f'{start}stages.2.blocks.8.')}
    assert len(ninth) == (0 if arch == 'tiny' else 32)
    assert set(converted.left_out) == left_out | ninth


def test_other_depths_are_initialized_or_dropped(perturb):
    state = perturb(Timm().model).state_dict()
    state = {key: torch.stack((value, value))[0] for key, value in state.items()}  # views
    before = torch.get_rng_state()
    more = convert_davit(state, dict(ARCH, depths=(1, 1, 3, 1)))
    assert torch.equal(torch.get_rng_state(), before)
    third = {key for key in more.state_dict if key.startswith('backbone.stages.2.blocks.2.')}
    assert len(third) == 28
    assert set(more.initialized) == {f'backbone.{key}' for key in STEM} | third

    fewer = convert_davit(state, dict(ARCH, depths=(1, 1, 1, 1)))
    assert {key for key in state if key.startswith('stages.2.blocks.1.')} <= set(fewer.left_out)
    ours(fewer)

    again = convert_davit(state, dict(ARCH, depths=(1, 1, 3, 1))).state_dict
    for key in more.initialized:
        value = more.state_dict[key]
        assert torch.equal(value, again[key])
        if 'norm' in key:
            assert (value == ('weight' in key)).all()
    first = more.state_dict['backbone.stem.conv1.weight']  # PyTorch's bound: fan-in ^ -0.5
    assert 0.9 * 27**-0.5 < first.abs().max() <= 27**-0.5
    for value in more.state_dict.values():
        assert value.untyped_storage().nbytes() == 4 * value.numel()  # no view of something larger


def test_without_classifier_or_norm(davit, library):
    """For a backbone without classifier, the output norm is converted if there is one."""
    state = davit.model.state_dict()
    if library is Mmpretrain:
        state = {
            f'{key.removeprefix("backbone.")}': value
            for key, value in state.items()
            if key.startswith('backbone.')
        }
    norm = 'norm3.' if library is Mmpretrain else 'head.norm.'
    headless = {key: value for key, value in state.items() if 'fc' not in key or 'mlp' in key}
    converted = convert_davit(headless, ARCH)
    assert not any(key.startswith('head.') for key in converted.state_dict)
    assert 'backbone.norm3.bias' in converted.mapped
    bare = {key: value for key, value in headless.items() if not key.startswith(norm)}
    assert {key for key in convert_davit(bare, ARCH).initialized if '.norm3.' in key} == {
        'backbone.norm3.weight',
        'backbone.norm3.bias',
    }


def test_norms_of_a_detectors_outputs(openmmlab, perturb):
    from mmpretrain.models.backbones import DaViT

    arch = dict(embed_dims=DIMS[0], depths=list(DEPTHS), num_heads=list(HEADS))
    backbone = perturb(DaViT(arch, out_indices=(0, 1, 2, 3)))
    state = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    state['rpn_head.conv.weight'] = torch.ones(1)
    converted = convert_davit(state, ARCH)
    for i in range(4):
        key = f'backbone.norm{i}.weight'
        assert torch.equal(converted.state_dict[key], state[key])
    assert 'rpn_head.conv.weight' in converted.left_out


def without(key):
    def state():
        state = Timm().model.state_dict()
        del state[key]
        return state

    return state


def meta(name, **kwargs):
    def state():
        with torch.device('meta'):
            return pytest.importorskip('timm').create_model(name, **kwargs).state_dict()

    return state


@pytest.mark.parametrize(
    ('state', 'arch', 'message'),
    [
        (dict, None, 'not a DaViT .* the weights are none'),
        (meta('resnet18'), None, r'not a DaViT .* are conv1.weight, bn1.weight, bn1.bias, \.\.\.$'),
        (meta('davit_base_fl'), None, 'not a DaViT .* are stem.conv.weight'),
        (
            meta('davit_large'),
            None,
            r'not DaViT-T, -S or -B: .*\(1, 1, 9, 1\) .*\(192, 384, 768, 1536\) channels',
        ),
        (meta('davit_tiny', mlp_ratio=2), None, r'mlp.fc1.weight \(192, 96\) for \(384, 96\)'),
        (
            meta('davit_tiny', down_kernel_size=3),
            None,
            r'3 have another shape \(stages.1.downsample',
        ),
        (
            without('stages.2.blocks.1.1.attn.qkv.bias'),
            ARCH,
            r'incomplete: 1 missing \(stages.2.blocks.1.1.attn.qkv.bias\)',
        ),
        (without('stages.1.blocks.0.0.norm1.weight'), ARCH, 'incomplete: 1 missing .*norm1.weight'),
    ],
)
def test_weights_of_other_networks_are_rejected(state, arch, message):
    with pytest.raises(UserError, match=message) as error:
        convert_davit(state(), arch)
    assert '\n' not in str(error.value)


def test_stages_that_do_not_fit():
    with pytest.raises(ValueError, match='4 stages, but arch has 5'):
        convert_davit(
            Timm().model.state_dict(),
            dict(embed_dims=(*DIMS, 64), depths=(*DEPTHS, 1), stem_channels=16),
        )
