"""Export networks and run the files."""

import io
import json
import sys

import numpy as np
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from dualattn_mm.apis import ColorizationPipeline, export, load_generator, save_generator
from dualattn_mm.cli.main import main

BACKBONE = dict(
    type='DualAttention',
    arch=dict(embed_dims=(8,), depths=(1,), stem_channels=4),
    head_dim=8,
    group_dim=8,
    out_indices=(0,),
)

pytestmark = pytest.mark.skipif(
    not hasattr(torch.compiler, 'is_exporting'), reason='exporting needs torch >= 2.7'
)


@pytest.fixture
def convs(two_convs, tmp_path):
    """A weights file of two convolutions, which are exported within a second."""
    path = tmp_path / 'convs.safetensors'
    save_generator(path, two_convs(), dict(type='TwoConvs'))
    return path


@pytest.fixture
def call(capsys):
    """Run the command; return status, stdout and stderr."""

    def call(*args):
        return main(['export', *map(str, args)]), *capsys.readouterr()

    return call


def test_onnx_file_of_any_batch_says_what_a_consumer_needs(call, convs, tmp_path):
    runtime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    out = tmp_path / 'new' / 'net.onnx'
    status, lines, errors = call(convs, '-o', out, '--size', 40)
    assert (status, errors) == (0, '')
    assert lines.startswith(f'wrote {out}: TwoConvs at 40 x 40, ')
    session = runtime.InferenceSession(out)
    about = session.get_modelmeta().custom_metadata_map
    assert (about['size'], about['saturation']) == ('40', '1.0')
    assert 'CIELAB' in about['ab']
    assert 'license' not in about  # only that of the bundled weights is known
    x = 100 * torch.rand(3, 1, 40, 40)
    (ab,) = session.run(['ab'], {'lightness': x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(ab, load_generator(convs)(x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_program_of_a_colorizer_is_exact_for_any_batch(call, tiny, perturb, tmp_path):
    weights, out = tmp_path / 'tiny.safetensors', tmp_path / 'net.pt2'
    save_generator(weights, perturb(MODELS.build(tiny)), dict(tiny, image_size=64, saturation=1.5))
    assert call(weights, '-o', out)[0] == 0
    files = {'metadata.json': ''}
    program = torch.export.load(io.BytesIO(out.read_bytes()), extra_files=files).module()
    assert json.loads(files['metadata.json'])['saturation'] == '1.5'
    network = load_generator(weights)
    for batch in (1, 3):
        x = 100 * torch.rand(batch, 1, 64, 64)
        with torch.no_grad():
            torch.testing.assert_close(program(x), network(x), rtol=1e-5, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('size', [('--size', 36, 44), ('--dynamic',)])
def test_backbone_of_a_config_is_exported_with_its_weights(size, call, perturb, tmp_path):
    """At a size that the windows do not divide."""
    runtime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    model = perturb(MODELS.build(BACKBONE)).eval()
    config, weights, out = (tmp_path / name for name in ('c.py', 'w.pth', 'net.onnx'))
    config.write_text(f'model = dict(type="Any", backbone={BACKBONE!r})')
    state = {f'backbone.{name}': value for name, value in model.state_dict().items()}
    torch.save(dict(state_dict={**state, 'head.x': torch.ones(1)}), weights)
    status, _, errors = call(weights, '--config', config, '-o', out, *size)
    assert (status, errors) == (0, '')
    x = torch.randn(2, 3, 36, 44)
    (map0,) = runtime.InferenceSession(out).run(['map0'], {'image': x.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(map0, model(x)[0], rtol=1e-3, atol=1e-4)


MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


@pytest.mark.parametrize(
    ('more', 'known'),
    [
        (dict(data_preprocessor=dict(mean=MEAN, std=STD, to_rgb=True)), 'RGB'),
        (dict(model=dict(data_preprocessor=dict(mean=MEAN, std=STD, bgr_to_rgb=True))), 'RGB'),
        (dict(model=dict(data_preprocessor=dict(mean=MEAN, std=STD, rgb_to_bgr=True))), 'BGR'),
        (dict(data_preprocessor=dict(mean=MEAN, std=STD)), None),
        (dict(), None),
    ],
)
def test_metadata_of_a_backbone_say_how_images_are_normalized(more, known, tmp_path):
    model = MODELS.build(BACKBONE)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'w.pth')
    cfg = Config({**more, 'model': dict(backbone=BACKBONE, **more.get('model', {}))})
    about = export.backbone(cfg, tmp_path / 'w.pth', (64, 64), 'c.py').metadata
    expected = {'mean': '123.675 116.28 103.53', 'std': '58.395 57.12 57.375'} if more else {}
    if known:
        expected['channels'] = known
    found = {name: about[name] for name in ('mean', 'std', 'channels') if name in about}
    assert found == expected


def test_the_license_of_the_bundled_weights_is_stated():
    assert 'non-commercial' in export.colorizer().metadata['license']


def test_a_url_is_a_place_for_the_file(call, convs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, lines, errors = call(convs, '-o', 'memory://export/net.pt2', '--size', 32)
    assert (status, errors) == (0, '')
    assert lines.startswith('wrote memory://export/net.pt2: TwoConvs at 32 x 32, ')
    data = MemoryFileSystem().cat('/export/net.pt2')
    assert torch.export.load(io.BytesIO(data)).module()(torch.zeros(1, 1, 32, 32)).shape[1] == 2
    assert call(convs, '-o', f'file://{tmp_path}/here.pt2', '--size', 32)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [convs.name, 'here.pt2']
    status, out, errors = call(convs, '-o', 'nothing://x/net.pt2')
    assert (status, out, errors.count('\n')) == (2, '', 1)
    assert errors.startswith('error: nothing://x cannot be reached: ')


def test_example_colorizes_like_the_pipeline(two_convs, tmp_path):
    """On a photo, with colors that partly leave sRGB."""
    runtime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    from skimage.data import astronaut

    from projects.deployment.colorize_onnx import colorize

    weights, network = tmp_path / 'convs.safetensors', two_convs()
    with torch.no_grad():
        network.leave.weight *= 400
    save_generator(weights, network, dict(type='TwoConvs'))
    export.export(export.colorizer(weights, size=64), tmp_path / 'net.onnx')
    session = runtime.InferenceSession(tmp_path / 'net.onnx')
    photo = astronaut()[:300, 50:400]
    expected = ColorizationPipeline(weights, size=64)(photo).astype(int)
    assert (expected.max(-1) - expected.min(-1)).mean() > 20
    assert (expected.max(-1) == 255).any()
    assert (expected.min(-1) == 0).any()
    difference = np.abs(colorize(session, photo) - expected)
    assert difference.max() <= 2
    assert (difference > 1).mean() < 1e-3


class Unsure(nn.Module):
    """A network that computes something else after the export."""

    def forward(self, x):
        return x * (1 if torch.compiler.is_compiling() else 2)


def test_a_file_that_deviates_is_not_kept(tmp_path):
    what = export.Exportable(Unsure(), (1, 4, 4), (0, 1), ('x', 'y'))
    with pytest.raises(ValueError, match=r'net\.pt2 was not written: it deviates .* by 5\.0e-01'):
        export.export(what, tmp_path / 'net.pt2')
    assert not list(tmp_path.iterdir())


class UnsureLater(nn.Module):
    """A network whose second output is NaN after the export."""

    def forward(self, x):
        return x, x * (float('nan') if torch.compiler.is_compiling() else 1)


def test_nan_in_a_later_output_is_found(tmp_path):
    what = export.Exportable(UnsureLater(), (1, 4, 4), (0, 1), ('x', 'y', 'z'))
    with pytest.raises(ValueError, match=r'it deviates from the network by nan'):
        export.export(what, tmp_path / 'net.pt2')
    assert not list(tmp_path.iterdir())


def test_another_shape_for_the_second_batch_is_found(tmp_path, monkeypatch):
    def write(what, metadata, path):
        return lambda x: [what.network(x)[:4]]

    monkeypatch.setattr(export, '_write_program', write)
    what = export.Exportable(nn.Identity(), (1, 4, 4), (0, 1), ('x', 'y'))
    with pytest.raises(ValueError, match=r'it deviates from the network by nan'):
        export.export(what, tmp_path / 'net.pt2')
    assert not list(tmp_path.iterdir())


class Zeros(nn.Module):
    def forward(self, x):
        return x * 0


def test_an_output_of_zeros_is_exported(tmp_path):
    what = export.Exportable(Zeros(), (1, 4, 4), (0, 1), ('x', 'y'))
    assert export.export(what, tmp_path / 'net.pt2').deviation == 0


def test_a_network_that_cannot_be_exported_is_one_line(tmp_path):
    class Random(nn.Module):
        def forward(self, x):
            return x if x.sum().item() > 0 else -x

    what = export.Exportable(Random(), (1, 4, 4), (0, 1), ('x', 'y'))
    with pytest.raises(ValueError, match=r'^cannot export this network: .+') as error:
        export.export(what, tmp_path / 'net.pt2')
    assert '\n' not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_wrong_use_is_one_line(call, convs, tmp_path, monkeypatch):
    pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    config = tmp_path / 'c.py'
    config.write_text('model = dict(backbone=dict(type="ResNet"))')
    for words, message in [
        (['-o', 'net.pb'], 'the format of net.pb is unknown: name it NAME.onnx or NAME.pt2'),
        (['-o', 'n.pt2', '--size', 16], '--size must be at least 32, got 16'),
        (['-o', 'n.pt2', '--dynamic'], '--dynamic needs an ONNX file, not n.pt2'),
        (['-o', 'n.onnx', '--dynamic'], '--dynamic is for backbones'),
        (['-o', 'n.onnx', '--dynamic', '--size', 64], '--dynamic accepts all sizes: leave out'),
        (['-o', 'n.pt2', '--size', 64, 96], '--size takes one side for a colorizer, and H W for'),
        (['-o', 'n.pt2', '--config', config], 'name the weights to export: '),
        ([convs, '-o', 'n.pt2', '--config', config], f'the config {config} has neither model.gen'),
    ]:
        status, out, err = call(*words)
        assert (status, out, err.count('\n')) == (2, '', 1)
        assert err.startswith(f'error: {message}')
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    status, out, err = call(convs, '-o', tmp_path / 'net.onnx')
    assert (status, out, err.count('\n')) == (2, '', 1)
    assert "pip install 'dualattn_mm[export]'" in err
