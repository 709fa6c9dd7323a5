"""Publish a checkpoint as a self-describing weights file."""

import numpy as np
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from mmengine.registry import MODELS
from safetensors import safe_open
from safetensors.torch import save_file

from dualattn_mm.apis import ColorizationPipeline, load_generator
from dualattn_mm.apis.weights import FORMAT, save_generator
from dualattn_mm.cli.main import main


@pytest.fixture
def generator(tiny, perturb):
    return perturb(MODELS.build(tiny)).eval()


@pytest.fixture
def config(tmp_path, tiny):
    path = tmp_path / 'config.py'
    path.write_text(f'model = dict(type="Colorizer", generator={dict(tiny, image_size=64)!r})')
    return path


@pytest.fixture
def checkpoint(tmp_path, generator):
    path = tmp_path / 'iter_9.pth'
    state = {f'generator.{key}': value for key, value in generator.state_dict().items()}
    torch.save(dict(meta={}, state_dict=dict(state, **{'critic.x': torch.ones(1)})), path)
    return path


@pytest.fixture
def call(capsys):
    """Run the command; return status, lines of stdout and lines of stderr."""

    def call(*args):
        status = main(['publish', *map(str, args)])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return call


def test_publish(call, tmp_path, generator, config, checkpoint):
    out = tmp_path / 'new' / 'mpt.safetensors'
    status, lines, errors = call(config, checkpoint, '-o', out, '--saturation', '1.25', '--half')
    values = sum(value.numel() for value in generator.state_dict().values())
    size = f'{out.stat().st_size / 1e6:.1f} MB'
    assert (status, errors) == (0, [])
    assert lines == [
        f'wrote {out}: MultiscalePyramidTransformer, {values:,} values as float16, {size}, '
        'saturation 1.25'
    ]
    with safe_open(out, 'pt') as file:
        assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}  # noqa: SIM118
    loaded = load_generator(out)
    assert (loaded.image_size, loaded.saturation) == (64, 1.25)
    for key, value in generator.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value.half().float()), key

    gray = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    pipe = ColorizationPipeline(out)
    assert pipe.size == 64
    np.testing.assert_array_equal(pipe(gray), pipe(gray, saturation=1.25))
    assert (pipe(gray) != pipe(gray, saturation=1.0)).any()


@pytest.mark.parametrize(
    ('stored', 'in_config', 'option', 'expected'),
    [
        (1.25, None, None, 1.25),
        (1.25, 1.5, None, 1.25),
        (1.25, 1.5, 2, 2.0),
        (None, 1.5, None, 1.5),
        (None, None, None, 1.0),
    ],
)
def test_a_published_file_keeps_its_saturation(
    call, tmp_path, tiny, generator, stored, in_config, option, expected
):
    def cfg(saturation):
        return dict(tiny) if saturation is None else dict(tiny, saturation=saturation)

    source, again = tmp_path / 'source.safetensors', tmp_path / 'again.safetensors'
    save_generator(source, generator, cfg(stored))
    config = tmp_path / 'config.py'
    config.write_text(f'model = dict(type="Colorizer", generator={cfg(in_config)!r})')
    options = [] if option is None else ['--saturation', option]
    assert call(config, source, '-o', again, *options)[0] == 0
    assert load_generator(again).saturation == expected


def test_a_file_whose_description_is_damaged_takes_the_saturation_of_the_config(
    call, tmp_path, generator, config
):
    source, again = tmp_path / 'source.safetensors', tmp_path / 'again.safetensors'
    save_file(generator.state_dict(), source, {'format': FORMAT, 'generator': '{"saturation": 2'})
    assert call(config, source, '-o', again)[0] == 0
    assert load_generator(again).saturation == 1.0


def test_a_url_is_a_place_for_the_file(call, config, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, lines, errors = call(config, checkpoint, '-o', 'memory://publish/mpt.safetensors')
    assert (status, errors) == (0, [])
    assert lines[0].startswith('wrote memory://publish/mpt.safetensors: MultiscalePyramidTrans')
    assert MemoryFileSystem().exists('/publish/mpt.safetensors')
    assert call(config, checkpoint, '-o', f'file://{tmp_path}/here.safetensors')[0] == 0
    assert load_generator(tmp_path / 'here.safetensors').image_size == 64
    assert not (tmp_path / 'file:').exists()


@pytest.mark.parametrize(
    ('change', 'word'),
    [
        (dict(config='none.py'), 'none.py is neither a config file'),
        (dict(checkpoint='none.pth'), 'weights file none.pth does not exist'),
        (dict(saturation='-1'), 'saturation'),
        (dict(saturation='20'), 'generator.saturation=20.0 is invalid'),  # as for `colorize`
        (dict(output='/proc/none/mpt.safetensors'), '/proc/none'),
    ],
)
def test_wrong_use_is_reported_in_one_line(call, tmp_path, config, checkpoint, change, word):
    use = dict(config=config, checkpoint=checkpoint, output=tmp_path / 'x', saturation='1') | change
    status, out, lines = call(
        use['config'], use['checkpoint'], '-o', use['output'], '--saturation', use['saturation']
    )
    assert (status, out, len(lines)) == (2, [], 1)
    assert lines[0].startswith('error: ')
    assert word in lines[0]
    assert not (tmp_path / 'x').exists()
