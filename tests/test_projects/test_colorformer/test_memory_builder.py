"""Color memories built from photos with known results."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from PIL import Image
from skimage.data import astronaut, chelsea, coffee
from torch import nn

from dualattn_mm.apis.weights import save_generator
from dualattn_mm.datasets import reports
from dualattn_mm.utils.color_space import join_lightness, rgb_to_lab
from dualattn_mm.utils.errors import UserError
from projects.colorformer import memory_builder
from projects.colorformer.color_memory import read_memory

ROOT = Path(__file__).parents[3]
CELL = 16


class MeanLightness(nn.Module):
    """An 'encoder' that returns only the brightness of a cell."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, CELL, stride=CELL, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([1.0, -2.0, 0.5])[:, None, None, None] / CELL**2)

    def forward(self, x):
        return (self.conv(x),)


# Lightness, and the colors that things so bright have: three quarters the first, one the second.
THINGS = {20.0: ((30, 20), (-20, 10)), 50.0: ((0, -40), (10, 40)), 80.0: ((5, 5), (-5, 30))}


@pytest.fixture
def photos(tmp_path):
    """Photos of 2 x 2 cells, each with its own object and colors."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    lightness = list(THINGS)
    for number in range(6):
        lab = torch.zeros(3, 2 * CELL, 2 * CELL)
        for cell in range(4):
            level = lightness[(number + cell) % 3]
            top, left = (CELL * i for i in divmod(cell, 2))
            place = (slice(top, top + CELL), slice(left, left + CELL))
            lab[0][place] = level
            common, rare = (torch.tensor(c)[:, None, None].float() for c in THINGS[level])
            lab[1:, place[0], place[1]] = common
            lab[1:, top : top + CELL // 2, left : left + CELL // 2] = rare
        rgb = join_lightness(lab[:1], lab[1:])
        pixels = (rgb * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f'{number}.png')
    return folder


@pytest.fixture
def bright(monkeypatch):
    monkeypatch.setattr(memory_builder, 'load_encoder', lambda *_: (MeanLightness(), 2 * CELL))


def as_seen(level, ab):
    """A color after a photo has stored it in bytes."""
    lab = torch.tensor([level, *ab]).float()[:, None, None]
    rgb = (join_lightness(lab[:1], lab[1:]) * 255).round() / 255
    return rgb_to_lab(rgb)[1:].flatten().numpy()


def test_things_and_their_colors_are_found(photos, bright, tmp_path):
    file = tmp_path / 'new' / 'memory.safetensors'
    built = memory_builder.build_color_memory(photos, file, centers=3, colors=2, channels=1)
    assert (built.photos, built.cells) == (6, 24)
    assert built.explained == pytest.approx(1)
    memory = read_memory(file)
    assert memory.semantics.shape == (3, 1)
    # Of mean square 1 over the cells, and as far from each other as the things are in brightness.
    order = memory.semantics[:, 0].argsort()
    steps = memory.semantics[order, 0].diff().abs()
    assert steps[0] / steps[1] == pytest.approx(1, abs=0.05)
    assert memory.semantics.square().mean().item() == pytest.approx(1, abs=0.05)
    if memory.colors[order[0], 0, 0] < 15:  # the sign of a principal component is arbitrary
        order = order.flip(0)
    for index, (level, colors) in zip(order, THINGS.items(), strict=True):
        expected = [as_seen(level, ab) for ab in colors]
        np.testing.assert_allclose(memory.colors[index], expected, atol=0.5)


def test_a_thing_of_one_color_has_it_twice(photos, bright, tmp_path):
    for path in photos.iterdir():
        Image.open(path).convert('L').convert('RGB').save(path)
    file = tmp_path / 'memory.safetensors'
    memory_builder.build_color_memory(photos, file, centers=2, colors=3, channels=2)
    assert read_memory(file).colors.abs().max() < 0.1


def test_the_seed_decides_and_cells_are_limited(photos, bright, tmp_path):
    def build(**kwargs):
        file = tmp_path / 'memory.safetensors'
        built = memory_builder.build_color_memory(
            photos, file, **dict(dict(centers=2, colors=1, channels=1), **kwargs)
        )
        return built.photos, built.cells, file.read_bytes()

    assert build() == build()
    assert build(cells=13)[:2] == (6, 18)  # three of every photo
    assert build(cells=5)[:2] == (5, 5)


def test_damaged_photos_are_reported_and_skipped(photos, bright, tmp_path, monkeypatch):
    (photos / 'aa_damaged.png').write_bytes((photos / '0.png').read_bytes()[:60])
    file = tmp_path / 'memory.safetensors'
    said = []
    monkeypatch.setattr(reports, 'print_log', lambda message, *_: said.append(message))
    built = memory_builder.build_color_memory(photos, file, centers=3, colors=2, channels=1)
    assert built.photos == 6
    assert read_memory(file).colors.isfinite().all()
    (line,) = said
    assert line.startswith(f'skipped {photos}/aa_damaged.png: ')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(centers=25), r'6 photos have 24 cells, too few for 25 semantic centers'),
        (dict(centers=4), r'24 cells of the photos have only 3 different features, too few for 4'),
        (dict(channels=4), r'cannot use 4 channels: the features of the encoder have 3'),
        (dict(centers=0), r'centers=0'),
        (dict(colors=0), r'colors=0'),
        (dict(size=-1), r'size=-1'),
        (dict(seed=-1), r'seed=-1'),
    ],
)
def test_memory_that_cannot_be_built_is_reported_in_one_line(
    photos, bright, tmp_path, options, message
):
    file = tmp_path / 'out' / 'memory.safetensors'
    options = dict(dict(centers=3, colors=2, channels=1), **options)
    with pytest.raises(UserError, match=message) as error:
        memory_builder.build_color_memory(photos, file, **options)
    assert '\n' not in str(error.value)
    assert not file.parent.exists()


def test_folders_without_a_photo_are_reported_in_one_line(photos, bright, tmp_path):
    def build(folder):
        memory_builder.build_color_memory(folder, tmp_path / 'm', centers=1, channels=1)

    with pytest.raises(UserError, match=r'folder .*nowhere does not exist'):
        build(tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match=r'image in .*empty'):
        build(tmp_path / 'empty')
    for path in photos.iterdir():
        path.write_bytes(b'no photo')
    with pytest.raises(UserError, match=r'none of the 6 photos can be read, for example .*photos/'):
        build(photos)


GENERATOR = dict(
    type='MultiscalePyramidTransformer',
    encoder=dict(
        type='DualAttention',
        in_channels=1,
        arch=dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), stem_channels=4),
        window_size=2,
        head_dim=8,
        group_dim=8,
    ),
    neck=dict(type='PixelShuffleNeck', in_channels=(8, 8, 16, 16), out_channels=(8, 8, 8)),
    head=dict(type='ColorAttention', in_channels=8, num_layers=1, num_heads=2),
    num_queries=2,
    image_size=96,
)


def test_the_encoder_of_a_colorizer(tmp_path):
    generator = MODELS.build(GENERATOR)
    save_generator(tmp_path / 'weights.safetensors', generator, GENERATOR)
    encoder, size = memory_builder.load_encoder(tmp_path / 'weights.safetensors', None)
    assert size == 96
    x = torch.randn(1, 1, 64, 64)
    assert torch.equal(encoder(x)[-1], generator.eval().encoder(x)[-1])
    shipped, size = memory_builder.load_encoder(None, None)
    assert (shipped.embed_dims[-1], size) == (192, 192)


def test_the_backbone_of_a_classifier(tmp_path):
    backbone = dict(
        GENERATOR['encoder'], in_channels=3, out_indices=(3,), gap_before_final_norm=True
    )
    config = tmp_path / 'config.py'
    config.write_text(
        "custom_imports = dict(imports=['dualattn_mm'], allow_failed_imports=False)\n"
        f'model = dict(type="ImageClassifier", backbone={backbone!r})\n'
        'test_dataloader = dict(dataset=dict(pipeline=[dict(type="CenterCrop", crop_size=96)]))\n'
    )
    trained = MODELS.build(backbone).eval()
    state = {f'backbone.{key}': value for key, value in trained.state_dict().items()}
    torch.save(dict(state_dict=dict(state, **{'head.fc.bias': torch.zeros(2)})), tmp_path / 'c.pth')
    encoder, size = memory_builder.load_encoder(tmp_path / 'c.pth', config)
    assert size == 96
    x = torch.randn(1, 3, 64, 96)
    (map_,) = encoder(x)
    assert map_.shape == (1, 16, 2, 3)
    trained.gap_before_final_norm = False
    assert torch.equal(map_, trained(x)[0])

    bare = tmp_path / 'bare.py'
    bare.write_text(config.read_text().rpartition('test_dataloader')[0])
    with pytest.raises(UserError, match=r'bare\.py does not state the size .* pass --size'):
        memory_builder.build_color_memory(tmp_path, tmp_path / 'm', tmp_path / 'c.pth', bare)

    with pytest.raises(UserError, match=r'the classifier .* needs its weights'):
        memory_builder.load_encoder(None, config)
    del state['backbone.norm3.weight']
    torch.save(dict(state_dict=state), tmp_path / 'c.pth')
    with pytest.raises(UserError, match=r'does not fit the network: 1 missing \(norm3\.weight\)'):
        memory_builder.load_encoder(tmp_path / 'c.pth', config)
    config.write_text('model = dict(type="X", backbone=dict(type="Nothing"))\n')
    with pytest.raises(UserError, match=r'cannot build the network that .*config.py describes'):
        memory_builder.load_encoder(tmp_path / 'c.pth', config)
    config.write_text('model = dict(type="X")\n')
    with pytest.raises(UserError, match=r'neither model\.generator nor model\.backbone'):
        memory_builder.load_encoder(tmp_path / 'c.pth', config)


def test_from_photos_to_a_trained_decoder(tmp_path, monkeypatch, capsys):
    """Run the tool on real photos with the bundled weights, then train with its file."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    for photo in (astronaut, chelsea, coffee):
        Image.fromarray(photo()).save(folder / f'{photo.__name__}.png')
    file = tmp_path / 'memory.safetensors'
    tool = str(ROOT / 'projects/colorformer/build_color_memory.py')
    sizes = ['--centers', '8', '--colors', '2', '--channels', '6']
    monkeypatch.setattr(sys, 'argv', [tool, str(folder), '-o', str(file), *sizes])
    assert runpy.run_path(tool)['main']() == 0
    assert capsys.readouterr().out.startswith('3 photos, 108 cells, 6 channels with ')
    head = dict(type='ColorMemory', in_channels=8, num_semantics=8, num_colors=2)
    head.update(semantic_channels=6, memory=str(file))
    model = MODELS.build(
        dict(type='Colorizer', generator=dict(GENERATOR, head=head, num_queries=None))
    )
    model.init_weights()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    image = Image.fromarray(coffee()).resize((32, 32))
    inputs = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None] / 255
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = model(inputs, mode='loss')['loss_l1']
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
