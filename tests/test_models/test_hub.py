"""Networks in folders of the Hugging Face Hub's layout."""

import json
import sys

import pytest
import torch
from mmengine.registry import MODELS
from safetensors.torch import save_file

from dualattn_mm import DualAttention, MultiscalePyramidTransformer
from dualattn_mm.apis import load_generator
from dualattn_mm.utils.errors import UserError

SMALL = dict(
    arch=dict(embed_dims=(8, 16), depths=(1, 1), stem_channels=4),
    head_dim=4,
    group_dim=8,
    out_indices=-1,
)


@pytest.fixture
def folder(tmp_path, perturb):
    pytest.importorskip('huggingface_hub')
    perturb(DualAttention(**SMALL)).save_pretrained(tmp_path / 'net', license='apache-2.0')
    return tmp_path / 'net'


def test_backbone_comes_back_from_a_folder(perturb, tmp_path):
    pytest.importorskip('huggingface_hub')
    model = perturb(DualAttention(**SMALL)).eval()
    model.save_pretrained(tmp_path, license='apache-2.0')
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        'README.md',
        'config.json',
        'model.safetensors',
    ]
    assert json.loads((tmp_path / 'config.json').read_text()) == json.loads(json.dumps(SMALL))
    card = (tmp_path / 'README.md').read_text()
    for part in ('license: apache-2.0', 'library_name: dualattn_mm', 'DualAttention.from_pretr'):
        assert part in card
    loaded = DualAttention.from_pretrained(tmp_path)
    assert type(loaded) is DualAttention
    assert not loaded.training
    x = torch.randn(1, 3, 40, 33)
    assert torch.equal(loaded(x)[0], model(x)[0])


def test_a_subclass_that_passes_arguments_on(perturb, tmp_path):
    pytest.importorskip('huggingface_hub')

    class Wider(DualAttention):
        def __init__(self, factor=1, **options):
            super().__init__(**options)
            self.factor = factor

    model = perturb(Wider(factor=3, **SMALL))
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / 'config.json').read_text())['factor'] == 3
    loaded = Wider.from_pretrained(tmp_path)
    assert (loaded.factor, loaded.out_indices) == (3, model.out_indices)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_bundled_weights_become_a_file_for_the_command(tmp_path):
    pytest.importorskip('huggingface_hub')
    bundled = load_generator()
    bundled.save_pretrained(tmp_path, license='other')
    for loaded in (
        MultiscalePyramidTransformer.from_pretrained(tmp_path),
        load_generator(tmp_path / 'model.safetensors'),
    ):
        assert (loaded.image_size, loaded.saturation) == (bundled.image_size, bundled.saturation)
        for name, value in bundled.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value), name


def test_a_network_of_a_config_keeps_its_config(tiny, tmp_path):
    pytest.importorskip('huggingface_hub')
    model = MODELS.build(dict(tiny, saturation=1.25))
    model.save_pretrained(tmp_path)
    loaded = MultiscalePyramidTransformer.from_pretrained(tmp_path)
    assert loaded.saturation == 1.25
    assert loaded.state_dict().keys() == model.state_dict().keys()


def test_settings_that_were_changed_are_saved(tiny, tmp_path):
    pytest.importorskip('huggingface_hub')
    model = MODELS.build(dict(tiny, saturation=1.25))
    model.saturation, model.image_size = 2.0, 128
    model.save_pretrained(tmp_path)
    for loaded in (
        MultiscalePyramidTransformer.from_pretrained(tmp_path),
        load_generator(tmp_path / 'model.safetensors'),
    ):
        assert (loaded.saturation, loaded.image_size) == (2.0, 128)
    model.saturation = -1.0
    with pytest.raises(UserError, match=r'saturation=-1\.0 is invalid'):
        model.save_pretrained(tmp_path / 'none')
    assert not (tmp_path / 'none').exists()


def test_files_of_another_network_are_one_line(folder):
    save_file({'stem.x': torch.ones(1)}, folder / 'model.safetensors')
    with pytest.raises(UserError, match=r'are not those of a DualAttention: \d+ missing \(stem'):
        DualAttention.from_pretrained(folder)
    (folder / 'model.safetensors').unlink()
    with pytest.raises(UserError, match=r'has no model\.safetensors'):
        DualAttention.from_pretrained(folder)


@pytest.mark.parametrize('part', [{'type': 'os.system'}, {'type': 'DualAttention', '_scope_': 'x'}])
def test_a_downloaded_config_builds_only_our_parts(part, tiny, tmp_path):
    pytest.importorskip('huggingface_hub')
    MODELS.build(tiny).save_pretrained(tmp_path)
    config = json.loads((tmp_path / 'config.json').read_text())
    (tmp_path / 'config.json').write_text(json.dumps({**config, 'encoder': part}))
    with pytest.raises(UserError, match=r'encoder\.type must be one of DualAttention, '):
        MultiscalePyramidTransformer.from_pretrained(tmp_path)


@pytest.mark.parametrize('wrap', [list, dict])
def test_a_downloaded_config_names_no_initial_weights(wrap, tmp_path):
    """`init_weights` would import the module of a scope, or read any file."""
    pytest.importorskip('huggingface_hub')
    DualAttention(**SMALL).save_pretrained(tmp_path)
    config = json.loads((tmp_path / 'config.json').read_text())
    one = {'type': 'Constant', '_scope_': 'this', 'layer': 'Linear', 'val': 0}
    config['init_cfg'] = [one] if wrap is list else one
    (tmp_path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(UserError, match='init_cfg is not accepted from a config'):
        DualAttention.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ('options', 'named'),
    [
        ({'num_querys': 3}, 'num_querys'),
        ({'strict': False, 'map_location': 'meta'}, 'map_loc.*, st'),
    ],
)
def test_unknown_options_are_one_line(options, named, tiny, tmp_path):
    pytest.importorskip('huggingface_hub')
    MODELS.build(tiny).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=f'^{named}.*: neither an option of from_pretrained nor an'):
        MultiscalePyramidTransformer.from_pretrained(tmp_path, **options)


def test_options_of_the_hub_and_arguments_are_accepted(folder):
    loaded = DualAttention.from_pretrained(folder, local_files_only=True, drop_path_rate=0.5)
    assert 'DropPath(rate=0.500)' in str(loaded)


def test_a_downloaded_config_asks_for_no_huge_network(tiny, folder, tmp_path):
    MODELS.build(tiny).save_pretrained(tmp_path)
    config = json.loads((tmp_path / 'config.json').read_text())
    config['head'] = {**config['head'], 'num_layers': 3000}
    (tmp_path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(UserError, match=r'head\.num_layers=3000 is invalid: .* from 1 to 32'):
        MultiscalePyramidTransformer.from_pretrained(tmp_path)
    config = json.loads((folder / 'config.json').read_text())
    config['arch']['depths'] = [1, 3000]
    (folder / 'config.json').write_text(json.dumps(config))
    with pytest.raises(UserError, match=r'arch\.depths\[1\]=3000 is invalid: .* from 1 to 256'):
        DualAttention.from_pretrained(folder)


def test_unusual_encoders_come_back_and_what_cannot_is_not_written(tmp_path):
    pytest.importorskip('huggingface_hub')
    arch = dict(embed_dims=(8,) * 6, depths=(1, 1, 1, 1, 1, 40), stem_channels=4)
    order = ('sda', 'fca') * 3
    wide = dict(SMALL, arch=arch, in_channels=13, order=order, window_size=80, mlp_ratio=20)
    DualAttention(**wide).save_pretrained(tmp_path / 'wide')
    assert DualAttention.from_pretrained(tmp_path / 'wide').hub_config['in_channels'] == 13
    with pytest.raises(UserError, match=r'DualAttention\.mlp_ratio=65 is invalid'):
        DualAttention(**dict(SMALL, mlp_ratio=65)).save_pretrained(tmp_path / 'none')
    assert not (tmp_path / 'none').exists()


def test_without_the_library_one_line_names_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    for call in (DualAttention(**SMALL).save_pretrained, DualAttention.from_pretrained):
        with pytest.raises(UserError, match='pip install huggingface_hub'):
            call(tmp_path)
