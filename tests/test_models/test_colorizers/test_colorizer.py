"""The colorizer as OpenMMLab runs it, against scikit-image."""

import copy
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from PIL import Image
from skimage import color
from tiny import GENERATOR
from torch import nn

from dualattn_mm import Colorizer


class Constant(nn.Module):
    """A network that answers every lightness with the same color, and keeps what it was given."""

    def __init__(self, a, b):
        super().__init__()
        self.ab = nn.Parameter(torch.tensor([a, b]).view(1, 2, 1, 1))

    def forward(self, lightness):
        self.lightness = lightness
        return self.ab.expand(len(lightness), 2, *lightness.shape[2:])


def colorizer(a, b, **kwargs):
    model = Colorizer(GENERATOR, **kwargs)
    model.generator = Constant(float(a), float(b))
    return model


def to_lab(rgb):
    return torch.from_numpy(color.rgb2lab(rgb.double().numpy(), channel_axis=1))


def to_rgb(lab):
    return torch.from_numpy(color.lab2rgb(lab.numpy(), channel_axis=1))


def test_network_sees_the_lightness_alone():
    rgb = torch.rand(2, 3, 33, 40)
    model = colorizer(0, 0)
    for mode in ('tensor', 'loss'):
        model(rgb, mode=mode)
        assert model.generator.lightness.shape == (2, 1, 33, 40)
        torch.testing.assert_close(
            model.generator.lightness.double(), to_lab(rgb)[:, :1], rtol=0, atol=1e-3
        )


@pytest.mark.parametrize('critic', [None, dict(type='WassersteinCritic')])
def test_a_share_of_the_images_is_seen_as_a_gray_scan(critic):
    torch.manual_seed(0)
    rgb = torch.randint(256, (16, 3, 33, 40)).float()
    scans = np.stack(
        [
            np.asarray(Image.fromarray(image.permute(1, 2, 0).byte().numpy()).convert('L'))
            for image in rgb
        ]
    )
    of_luma = to_lab(torch.from_numpy(scans)[:, None].expand(-1, 3, -1, -1) / 255)[:, :1]
    exact = to_lab(rgb / 255)[:, :1]
    model = colorizer(0, 0, luma_share=0.5, critic=critic).train()
    if critic is None:
        model(rgb / 255, mode='loss')
    else:
        model.train_step(
            dict(inputs=list(rgb)),
            OptimWrapperDict(
                generator=OptimWrapper(torch.optim.SGD(model.generator.parameters(), 0.1)),
                critic=OptimWrapper(torch.optim.SGD(model.critic.parameters(), 0.1)),
            ),
        )
    seen = model.generator.lightness.double()
    # A scan is rounded to 8 bits.
    is_scan = (seen - of_luma).abs().amax((1, 2, 3)) < 1.5
    is_exact = (seen - exact).abs().amax((1, 2, 3)) < 1e-3
    assert (is_scan ^ is_exact).all()
    assert 3 <= is_scan.sum() <= 13
    if critic is None:
        model.luma_share = 1.0
        with torch.autocast('cpu', torch.bfloat16):
            model(rgb / 255, mode='loss')
        assert (model.generator.lightness.double() - of_luma).abs().max() < 1.5
        torch.testing.assert_close(model.generator.lightness[is_scan].double(), seen[is_scan])
    model(rgb / 255)  # colorizing keeps the lightness of the image
    torch.testing.assert_close(model.generator.lightness.double(), exact, rtol=0, atol=1e-3)
    with pytest.raises(ValueError, match='luma_share'):
        colorizer(0, 0, luma_share=1.5)


@pytest.mark.parametrize('l1_weight', [0.1, 2.0])
def test_loss_is_the_weighted_mean_of_the_color_difference(l1_weight):
    rgb = torch.rand(2, 3, 33, 40)
    model = Colorizer(GENERATOR, **(dict(l1_weight=l1_weight) if l1_weight != 0.1 else {}))
    lab = to_lab(rgb)
    predicted = model.generator(lab[:, :1].float()).detach().double()
    expected = np.abs(predicted.numpy() - lab[:, 1:].numpy()).mean()
    losses = model(rgb, mode='loss')
    assert losses['ab_l1'].item() == pytest.approx(expected, rel=1e-4)
    assert losses['loss_l1'].item() == pytest.approx(l1_weight * expected, rel=1e-4)
    assert not losses['ab_l1'].requires_grad
    total, _ = model.parse_losses(losses)
    assert total.item() == pytest.approx(l1_weight * expected, rel=1e-4)


@pytest.mark.parametrize('ab', [(20.0, -30.0), (0.0, 0.0)])
def test_tensor_joins_color_and_lightness_as_scikit_image(ab):
    rgb = torch.rand(2, 3, 9, 7)
    lab = to_lab(rgb)
    lab[:, 1], lab[:, 2] = ab
    out = colorizer(*ab)(rgb)
    assert out.shape == rgb.shape
    torch.testing.assert_close(out.double(), to_rgb(lab), rtol=0, atol=1e-3)


def test_lightness_is_kept_where_the_color_is_in_gamut():
    gray = (0.3 + 0.4 * torch.rand(2, 1, 33, 40)).expand(2, 3, 33, 40)
    model = Colorizer(GENERATOR)
    nn.init.normal_(model.generator.head.to_ab.weight, std=1e-2)
    before, after = to_lab(gray), to_lab(model(gray).detach())
    assert after[:, 1:].abs().amax() > 0.5, 'there is some color'
    assert after[:, 1:].abs().amax() < 15, 'this test is about small colors'
    torch.testing.assert_close(after[:, 0], before[:, 0], rtol=0, atol=1e-2)


@pytest.mark.filterwarnings('ignore:Conversion from CIE-LAB')
@pytest.mark.parametrize('sign', [1, -1])
def test_color_is_clamped_before_the_conversion(sign):
    rgb = torch.rand(1, 3, 5, 5)
    limit = 127 if sign > 0 else -128
    out = colorizer(1e4 * sign, 1e6 * sign)(rgb)
    assert torch.equal(out, colorizer(limit, limit)(rgb))
    lab = to_lab(rgb)
    lab[:, 1:] = limit
    torch.testing.assert_close(out.double(), to_rgb(lab), rtol=0, atol=1e-3)


def test_predict_fills_the_samples():
    rgb = torch.rand(2, 3, 33, 40)
    model = Colorizer(GENERATOR)
    samples = [BaseDataElement(metainfo=dict(n=n)) for n in range(2)]
    predictions = model(rgb, samples, mode='predict')
    assert [sample.n for sample in predictions] == [0, 1]
    for sample, given, image in zip(predictions, samples, model(rgb), strict=True):
        assert sample is given
        torch.testing.assert_close(sample.pred_img, 255 * image)
        assert sample.pred_img.amax() > 1


def test_predict_makes_samples_where_none_are_given():
    rgb = torch.rand(2, 3, 33, 40)
    model = Colorizer(GENERATOR)
    pictures = [255 * image for image in model(rgb)]
    predictions = model(rgb, mode='predict')
    torch.testing.assert_close([sample.pred_img for sample in predictions], pictures)


def test_a_negative_weight_is_reported():
    with pytest.raises(ValueError, match=r'l1_weight=-1\b'):
        Colorizer(GENERATOR, l1_weight=-1)


@pytest.mark.parametrize('mode', ['test', '', None])
def test_wrong_mode_error_names_allowed_modes(mode):
    with pytest.raises(ValueError, match='mode') as info:
        Colorizer(GENERATOR)(torch.rand(1, 3, 32, 32), mode=mode)
    for word in (repr(mode), 'tensor', 'loss', 'predict'):
        assert word in str(info.value)


@pytest.mark.parametrize('value', [0.0, 1.0])
def test_black_and_white_images_train(value):
    model = Colorizer(GENERATOR)
    model(torch.full((1, 3, 32, 32), value), mode='loss')['loss_l1'].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_color_is_float32_under_autocast():
    rgb = torch.rand(1, 3, 32, 32)
    model = Colorizer(GENERATOR).eval()
    expected, loss = model(rgb), model(rgb, mode='loss')['ab_l1']
    with torch.autocast('cpu', torch.bfloat16):
        out, half_loss = model(rgb), model(rgb, mode='loss')['ab_l1']
    assert out.dtype == half_loss.dtype == torch.float32
    torch.testing.assert_close(half_loss, loss, rtol=2e-2, atol=0)
    assert (out - expected).norm() < 2e-2 * expected.norm()


def test_state_dict_keys_are_the_stored_ones():
    with torch.device('meta'):
        generator = dict(type='MultiscalePyramidTransformer')
        state = MODELS.build(dict(type='Colorizer', generator=generator)).state_dict()
    lines = [f'{key} {tuple(value.shape)}' for key, value in state.items()]
    stored = Path(__file__).parents[2] / 'state_dict_keys' / 'colorizer.txt'
    assert sorted(lines) == stored.read_text().splitlines()


def test_train_and_test_steps_of_mmengine():
    """Raw uint8 images, as a data loader gives them; a fixed batch is learned."""
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing='ij')
    images = [
        torch.stack((4 * y + 100, 3 * x + 60, 150 - 4 * x)).to(torch.uint8),
        torch.stack((8 * x, 255 - 8 * y, 4 * y + 4 * x)).to(torch.uint8),
    ]
    data = dict(inputs=images, data_samples=[BaseDataElement() for _ in images])
    model = Colorizer(GENERATOR)
    wrapper = OptimWrapper(torch.optim.Adam(model.parameters(), lr=3e-3))
    model.train()
    logs = [model.train_step(data, wrapper) for _ in range(20)]
    assert {'loss', 'loss_l1', 'ab_l1'} <= set(logs[0])
    lab = to_lab(torch.stack(images) / 255)
    assert logs[0]['ab_l1'].item() == pytest.approx(lab[:, 1:].abs().mean().item(), rel=0.3)
    assert logs[-1]['loss'] < 0.8 * logs[0]['loss']
    model.eval()
    for step in (model.val_step, model.test_step):
        results = step(dict(inputs=images, data_samples=[BaseDataElement() for _ in images]))
        expected = model(torch.stack(images) / 255)
        for sample, image in zip(results, expected, strict=True):
            torch.testing.assert_close(sample.pred_img, 255 * image, rtol=0, atol=1e-2)


@pytest.mark.parametrize('critic', [None, dict(type='WassersteinCritic')])
def test_training_draws_one_of_its_sizes_for_each_step(critic):
    model = Colorizer(GENERATOR, critic=critic, train_sizes=(32, 64))
    random.seed(0)
    sides = []
    model.generator.register_forward_pre_hook(lambda _, args: sides.append(args[0].shape[2:]))
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.0))
    if critic:
        wrapper = OptimWrapperDict(generator=wrapper, critic=wrapper)
    batch = dict(inputs=torch.randint(0, 256, (2, 3, 48, 48), dtype=torch.uint8))
    for _ in range(12):
        model.train_step(batch, wrapper)
    assert set(sides) == {(32, 32), (64, 64)}


def test_other_uses_keep_the_size_of_the_images():
    model = Colorizer(GENERATOR, train_sizes=(32,)).eval()
    assert model(torch.rand(1, 3, 40, 48)).shape == (1, 3, 40, 48)
    plain = Colorizer(GENERATOR).eval()
    plain.load_state_dict(model.state_dict())
    images = torch.rand(2, 3, 48, 48)
    assert model(images, mode='loss')['ab_l1'] == plain(images, mode='loss')['ab_l1']


def test_a_training_size_averages_the_images():
    """Stripes that sampling without a filter would keep or lose."""
    model = Colorizer(GENERATOR, train_sizes=(32,))
    images = torch.zeros(1, 3, 64, 64)
    images[..., ::2] = 1
    assert model._resized(images)[..., 2:-2].sub(0.5).abs().max() < 0.05


@pytest.mark.parametrize('sizes', [(0,), (64, -1), (1.5,), 64])
def test_training_sizes_are_natural_numbers(sizes):
    with pytest.raises(ValueError, match='train_sizes'):
        Colorizer(GENERATOR, train_sizes=sizes)


def test_a_copy_compiles_its_own_networks():
    model = Colorizer(GENERATOR, l1_weight=1.0, compile=dict(backend='eager')).train()
    images = torch.rand(1, 3, 40, 40)
    model(images, mode='loss')
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        copied(images, mode='loss')['loss_l1'].backward()
        assert all(p.grad is not None for p in copied.parameters())
        assert all(p.grad is None for p in model.parameters())
        assert not (set(map(id, copied.parameters())) & set(map(id, model.parameters())))


@pytest.mark.slow
def test_a_compiled_generator_trains_the_same_in_one_graph_per_size():
    """By dynamo with the eager backend: what a compiler makes of the graph is not ours."""
    torch.manual_seed(0)
    arguments = dict(l1_weight=1.0, train_sizes=(32, 64))
    plain = Colorizer(GENERATOR, **arguments).train()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = Colorizer(
        GENERATOR, compile=dict(backend=backend, dynamic=False, fullgraph=True), **arguments
    ).train()
    compiled.load_state_dict(plain.state_dict())
    assert list(compiled.state_dict()) == list(plain.state_dict())
    images = torch.rand(2, 3, 40, 40)
    for seed in range(5):
        losses = []
        for model in (plain, compiled):
            torch.manual_seed(seed)
            random.seed(seed)
            loss = model(images, mode='loss')['loss_l1']
            loss.backward()
            losses.append(loss.detach())
        torch.testing.assert_close(*losses)
    for (name, one), other in zip(plain.named_parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, msg=name, rtol=1e-3, atol=1e-5)
    assert len(graphs) == 2
