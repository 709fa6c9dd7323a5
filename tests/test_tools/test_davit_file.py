"""davit_to_dualattn.py: from a file of DaViT's weights to a checkpoint that others load."""

import re
import sys

import pytest
import torch
from mmengine import DefaultScope
from mmengine.logging import HistoryBuffer
from mmengine.registry import MODELS
from mmengine.runner import load_checkpoint
from safetensors.torch import save_file

from dualattn_mm import DualAttention
from dualattn_mm.utils.checkpoint_file import read_state_dict
from tools.model_converters import davit_to_dualattn as davit_module

DIMS = (32, 64, 64, 96)


@pytest.fixture(autouse=True)
def _small_variant(monkeypatch):
    """A small 'tiny' variant with the same blocks and fewer channels."""
    tiny = dict(embed_dims=DIMS, depths=(1, 1, 2, 1), stem_channels=16)
    monkeypatch.setattr(DualAttention, 'arch_zoo', {'tiny': tiny})
    monkeypatch.setattr(davit_module, 'DAVIT_DEPTHS', {'tiny': (1, 1, 3, 1)})


@pytest.fixture
def davit(perturb):
    """timm's state dict."""
    davit = pytest.importorskip('timm.models.davit')
    heads = [dim // 32 for dim in DIMS]
    model = davit.DaVit(embed_dims=DIMS, depths=(1, 1, 3, 1), num_heads=heads, num_classes=7)
    return perturb(model).state_dict()


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs the tool in this process, with the small variant: status, stdout, stderr."""

    def run(*words):
        monkeypatch.setattr(sys, 'argv', ['davit_to_dualattn.py', *map(str, words)])
        return davit_module.main(), *capsys.readouterr()

    return run


@pytest.fixture
def converted(tmp_path, davit, call):
    save_file(davit, tmp_path / 'davit.safetensors')
    status, out, err = call(tmp_path / 'davit.safetensors', '-o', tmp_path / 'new' / 'start.pth')
    assert (status, err) == (0, '')
    return tmp_path / 'new' / 'start.pth', out


def test_description_for_the_user(converted):
    path, out = converted
    lines = out.splitlines()
    assert lines[0] == 'DaViT of timm -> DualAttention tiny, with a classifier of 7 classes'
    counts = [int(line.split(': ')[1].split()[0].replace(',', '')) for line in lines[1:4]]
    state = read_state_dict(path)
    assert sum(counts) == sum(value.numel() for value in state.values())
    assert lines[3].count('backbone.') == 10
    assert 'backbone.stem.conv1.weight (16, 3, 3, 3)' in lines[3]
    assert set(lines[4].split(': ')[1].split(', ')) == {
        'stem.conv',
        'stem.norm',
        'stages.*.blocks.*.*.cpe1.proj',
        'stages.*.blocks.*.*.cpe2.proj',
        'stages.2.blocks.2',
    }
    cfg = eval(out.split('backbone=')[1])
    cfg['window_size'] = 8
    model = MODELS.build(cfg)
    model.init_weights()
    for key, value in model.state_dict().items():
        if key[:5] in ('norm0', 'norm1', 'norm2'):  # a classifier has none
            assert (value == ('weight' in key)).all(), key
        else:
            assert torch.equal(value, state[f'backbone.{key}']), key
    assert [path.name] == [file.name for file in path.parent.iterdir()]


def test_loads_into_mmpretrains_classifier(openmmlab, converted, davit):
    path, _ = converted
    classifier = dict(
        type='ImageClassifier',
        backbone=dict(
            type='DualAttention', out_indices=(3,), gap_before_final_norm=True, fca_scale='group'
        ),
        head=dict(type='LinearClsHead', num_classes=7, in_channels=DIMS[-1]),
    )
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(classifier)
    load_checkpoint(model, str(path), strict=True)
    assert torch.equal(model.head.fc.weight, davit['head.fc.weight'])
    assert torch.equal(model.backbone.norm3.bias, davit['head.norm.bias'])


@pytest.mark.parametrize(
    'wrap',
    [
        pytest.param(lambda state: state, id='state dict'),
        pytest.param(
            lambda state: dict(
                state_dict={f'module.{key}': value for key, value in state.items()},
                optimizer=dict(state={}),
            ),
            id='timm, several GPUs',
        ),
        pytest.param(
            lambda state: dict(
                state_dict=state, message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1], [1])))
            ),
            id='mmengine, with its log',
        ),
        pytest.param(
            lambda state: {key: value.half() for key, value in state.items()}, id='float16'
        ),
    ],
)
def test_checkpoints(tmp_path, call, converted, davit, wrap):
    path, _ = converted
    torch.save(wrap(davit), tmp_path / 'davit.pth')
    assert call(tmp_path / 'davit.pth', '-o', tmp_path / 'other.pth')[0] == 0
    state, other = read_state_dict(path), read_state_dict(tmp_path / 'other.pth')
    assert state.keys() == other.keys()
    for key, value in state.items():
        torch.testing.assert_close(other[key], value, atol=1e-3, rtol=1e-3)


class Harmful:
    def __reduce__(self):
        return eval, ('1/0',)


@pytest.fixture
def files(tmp_path, davit):
    (tmp_path / 'text.pth').write_text('no weights')
    torch.save(dict(state_dict=Harmful()), tmp_path / 'harmful.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    torch.save(dict(state_dict={'conv1.weight': torch.ones(1)}), tmp_path / 'other.pth')
    torch.save(davit, tmp_path / 'davit.pth')
    save_file(davit, tmp_path / 'cut.safetensors')
    whole = (tmp_path / 'cut.safetensors').read_bytes()
    (tmp_path / 'cut.safetensors').write_bytes(whole[:-10])
    return tmp_path


@pytest.mark.parametrize(
    ('source', 'output', 'message'),
    [
        ('none.pth', 'out.pth', 'none.pth: No such file or directory'),
        ('.', 'out.pth', 'Is a directory'),
        ('text.pth', 'out.pth', 'cannot load .*text.pth: it is damaged, or holds objects other'),
        ('harmful.pth', 'out.pth', 'cannot load .*harmful.pth: .* which could run code'),
        ('list.pth', 'out.pth', 'list.pth does not contain a state dict'),
        ('cut.safetensors', 'out.pth', 'cut.safetensors is damaged'),
        ('other.pth', 'out.pth', r'other.pth: not a DaViT with .* the weights are conv1.weight$'),
        ('davit.pth', 'davit.pth', 'davit.pth is the input and would be overwritten'),
        ('davit.pth', 'out.safetensors', 'out.safetensors must end in .pth'),
        ('davit.pth', 'text.pth/out.pth', 'cannot write .*text.pth/out.pth: '),
    ],
)
def test_bad_input(files, call, source, output, message):
    before = sorted(files.iterdir())
    status, out, err = call(files / source, '-o', files / output)
    assert (status, out) == (2, '')
    assert err.startswith('error: ')
    assert err.count('\n') == 1
    assert re.search(message, err.rstrip())
    assert sorted(files.iterdir()) == before
