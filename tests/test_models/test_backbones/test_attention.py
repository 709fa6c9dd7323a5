"""Both attentions against the paper's equations, timm and strided slices."""

import copy

import naive
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dualattn_mm.models.backbones import attention, windows
from dualattn_mm.models.backbones.attention import (
    ChannelAttention,
    DilatedAttention,
    FeedForward,
    HalfBlock,
    LayerNorm,
)
from dualattn_mm.models.backbones.windows import dilated_partition, dilated_reverse
from projects.benchmark.memory import peak_memory

DIVIDING = [(1, 1, 1), (5, 3, 1), (7, 7, 7), (31, 31, 31), (10, 15, 5), (56, 56, 7), (56, 56, 8)]
ANY_SIZE = [(1, 1), (5, 3), (7, 7), (9, 26), (31, 31)]

needs_half = pytest.mark.skipif(torch.__version__ < '2.5', reason='no float16 on CPU')


@pytest.fixture
def one_thread(monkeypatch):
    """Pieces are as small as for one thread, however many cores the machine has."""
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 1)


def nchw(module, x):
    """Run an attention, whose maps are (B, H, W, C), on (B, C, H, W)."""
    return module(x.permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2)


@pytest.mark.parametrize(('height', 'width', 'g'), DIVIDING)
def test_windows_are_strided_slices(height, width, g):
    x = torch.randn(2, height, width, 3)
    step_h, step_w = height // g, width // g
    windows = dilated_partition(x, g)
    assert windows.shape == (2, step_h * step_w, g * g, 3)
    written = torch.zeros_like(x)
    for a in range(step_h):
        for b in range(step_w):
            window = windows[:, a * step_w + b]
            pixels = x[:, a::step_h, b::step_w]
            assert torch.equal(window, pixels.flatten(1, 2))
            written[:, a::step_h, b::step_w] = 2 * window.reshape(pixels.shape)
    assert torch.equal(dilated_reverse(2 * windows, g, height, width), written)


@pytest.mark.parametrize(('height', 'width', 'g'), DIVIDING)
def test_windows_are_those_of_timm(height, width, g):
    x = torch.randn(2, height, width, 3)
    from timm.models.maxxvit import grid_partition, grid_reverse

    theirs = grid_partition(x, [g, g])
    ours = dilated_partition(x, g)
    assert torch.equal(ours.reshape(-1, g, g, 3), theirs)
    assert torch.equal(
        dilated_reverse(ours, g, height, width), grid_reverse(theirs, [g, g], [height, width])
    )


@pytest.mark.parametrize('separable', [True, False], ids=['sda', 'da'])
@pytest.mark.parametrize('window_size', [3, 7, 8])
@pytest.mark.parametrize(('height', 'width'), [*ANY_SIZE, (56, 56)])
def test_dilated_attention_is_equation_5_and_6(height, width, window_size, separable, perturb):
    dim, head_dim = 8, 4
    attn = perturb(DilatedAttention(dim, window_size, head_dim, separable)).double()
    x = 2 * torch.randn(2, dim, height, width, dtype=torch.float64)
    expected = naive.dilated_attention(x, attn.state_dict(), window_size, head_dim)
    torch.testing.assert_close(nchw(attn, x), expected)


@pytest.mark.parametrize(('height', 'width'), [(31, 31), (56, 56)])
def test_windows_in_several_calls(height, width, perturb, monkeypatch):
    """On CUDA, one call cannot process them all."""
    attn = perturb(DilatedAttention(8, 7, 4))
    x = torch.randn(2, height, width, 8)
    expected, calls = attn(x), []
    one = torch.nn.functional.scaled_dot_product_attention

    def counted(q, *args, **kwargs):
        calls.append(len(q))
        return one(q, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, 'scaled_dot_product_attention', counted)
    monkeypatch.setattr(windows, 'MOST_WINDOWS', 12)
    torch.testing.assert_close(attn(x), expected)
    assert sum(calls) == 2 * -(-height // 7) * -(-width // 7)
    assert set(calls[:-1]) == {12}


@pytest.mark.parametrize('fill', [3e4, -3e4])
@pytest.mark.parametrize(('height', 'width'), [(1, 1), (5, 3), (9, 26), (31, 31)])
def test_padded_content_has_no_influence(height, width, fill, perturb, monkeypatch):
    attn = perturb(DilatedAttention(8, 7, 4))
    x = torch.randn(2, 8, height, width)
    expected = nchw(attn, x)
    pad, fills = torch.nn.functional.pad, []

    def pad_with_garbage(tensor, padding):
        if tensor.dtype == torch.bool:  # the mask
            return pad(tensor, padding)
        # Not NaN: a masked key has weight 0, and 0 * NaN would be NaN in any implementation.
        fills.append(fill)
        return pad(tensor, padding, value=fill)

    monkeypatch.setattr(torch.nn.functional, 'pad', pad_with_garbage)
    torch.testing.assert_close(nchw(attn, x), expected, rtol=0, atol=1e-6)
    assert fills, 'nothing was padded through torch.nn.functional.pad: adapt this test'


@pytest.mark.parametrize('scale', ['channel', 'group', 'tokens'])
@pytest.mark.parametrize('separable', [True, False], ids=['fca', 'ca'])
@pytest.mark.parametrize(('height', 'width'), ANY_SIZE)
def test_channel_attention_is_equation_3_and_4(height, width, separable, scale, perturb):
    dim, group_dim = 12, 4
    attn = perturb(ChannelAttention(dim, group_dim, scale, separable)).double()
    x = torch.randn(2, dim, height, width, dtype=torch.float64)
    expected = naive.channel_attention(x, attn.state_dict(), group_dim, scale)
    torch.testing.assert_close(nchw(attn, x), expected)


@pytest.mark.parametrize('size', [(4, 6), (5, 3)])
def test_channel_attention_has_float64_gradients(size, perturb):
    attn = perturb(ChannelAttention(8, 4)).double()
    x = torch.randn(2, *size, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(attn, x)


@needs_half
@pytest.mark.parametrize('scale', ['channel', 'tokens'])
def test_channel_attention_survives_half_precision(scale):
    """The unscaled sum over all pixels is 200,000, and the largest float16 65,504."""
    dim = 64
    attn = ChannelAttention(dim, 32, scale)
    with torch.no_grad():
        q, k, _ = attn.qkv.weight.chunk(3)
        k.copy_(q)  # so that the diagonal of q^T k is a sum of squares
        q, k, _ = attn.dwconv.weight.chunk(3)
        k.copy_(q)
        attn.qkv.bias.zero_()
        attn.dwconv.bias.zero_()
    x = torch.randn(1, dim, 64, 64)
    q, k, _ = naive.project_qkv(x, attn.state_dict())
    x = x * (2e5 / (q * k).sum((-2, -1)).amax()).sqrt()  # 25,000 once scaled
    expected = nchw(attn, x)
    half = nchw(copy.deepcopy(attn).half(), x.half())
    assert half.dtype == torch.float16
    assert (half.float() - expected).norm() < 2e-2 * expected.norm()


class SoftmaxTypes(TorchDispatchMode):
    """Notes the type of every softmax's input."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if 'softmax' in func.__name__:
            self.seen.append(args[0].dtype)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('half', [pytest.param(torch.float16, marks=needs_half), torch.bfloat16])
def test_softmax_of_channel_attention_is_float32(half):
    with SoftmaxTypes() as softmax:
        out = nchw(ChannelAttention(8, 4).to(half), torch.randn(1, 8, 5, 3, dtype=half))
    assert softmax.seen == [torch.float32]
    assert out.dtype == half


class Conversions(TorchDispatchMode):
    """Notes the shape of every tensor that is converted to another type."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default and args[0].dtype != out.dtype:
            self.seen.append(tuple(args[0].shape))
        return out


@pytest.mark.parametrize('training', [True, False], ids=['train', 'eval'])
@pytest.mark.parametrize('kind', ['sda', 'fca'])
def test_autocast_converts_every_parameter_once_and_no_map(kind, training):
    """Only the logits of channel attention become float32 and then half precision again."""
    attn = DilatedAttention(8, 7, 4) if kind == 'sda' else ChannelAttention(8, 4)
    block = HalfBlock(8, attn).train(training)
    x = torch.randn(1, 5, 9, 8, dtype=torch.bfloat16, requires_grad=training)
    with (
        Conversions() as conversions,
        torch.autocast('cpu', dtype=torch.bfloat16),
        torch.set_grad_enabled(training),
    ):
        block(x)
    logits = [(2, 4, 4)] * 2 if kind == 'fca' else []
    expected = [*(tuple(p.shape) for p in block.parameters()), *logits]
    assert sorted(conversions.seen) == sorted(expected)


@pytest.mark.parametrize('kind', ['sda', 'fca'])
def test_images_of_a_batch_do_not_mix(kind, perturb):
    attn = perturb(DilatedAttention(8, 7, 4) if kind == 'sda' else ChannelAttention(8, 4))
    x = torch.randn(3, 8, 9, 12)
    alone = torch.cat([nchw(attn, image[None]) for image in x])
    torch.testing.assert_close(nchw(attn, x), alone, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures('one_thread')
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_feed_forward_in_pieces(monkeypatch, perturb, layout):
    """Without gradients a large map is done in pieces; with them at once."""
    block = perturb(HalfBlock(8, torch.nn.Identity())).eval()
    x = torch.randn(2, 9, 5, 8).contiguous(memory_format=layout)
    kept, whole = x.clone(), block(x).detach()
    monkeypatch.setattr(attention, 'LARGE_MAP', 100)
    monkeypatch.setattr(attention, 'TOKENS_PER_THREAD', 7)
    sizes = []
    block.ffn.fc1.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    with torch.no_grad():
        torch.testing.assert_close(block(x), whole)
    assert torch.equal(x, kept), 'the input is not overwritten'
    assert sizes == [7] * 12 + [6]


@pytest.mark.usefixtures('one_thread')
@pytest.mark.parametrize('separable', [True, False])
@pytest.mark.parametrize('kind', ['dilated', 'channel'])
@pytest.mark.parametrize(('height', 'width'), [(16, 16), (9, 26), (17, 5), (5, 3)])
def test_attention_in_bands(height, width, kind, separable, perturb, monkeypatch):
    """Without gradients large maps are projected in bands; with them at once."""
    attn = (
        DilatedAttention(8, 4, 4, separable)
        if kind == 'dilated'
        else ChannelAttention(8, 4, separable=separable)
    )
    x = torch.randn(2, height, width, 8)
    whole = perturb(attn)(x).detach()
    monkeypatch.setattr(attention, 'LARGE_MAP', 100)
    monkeypatch.setattr(attention, 'BAND_TOKENS_PER_THREAD', 2 * width)
    heights = []
    attn.qkv.register_forward_hook(lambda module, args, output: heights.append(output.shape[1]))
    with torch.no_grad():
        torch.testing.assert_close(attn(x), whole)
    # A row of all windows of both images, or two rows of one image.
    rows, images = (-(-height // 4), 1) if kind == 'dilated' else (2, 2)
    assert len(heights) == images * -(-height // rows)
    assert max(heights) <= rows + 2 * separable  # the convolution reads a row on each side
    heights.clear()
    torch.testing.assert_close(attn(x), whole)
    assert len(heights) == 1


@pytest.mark.usefixtures('one_thread')
@pytest.mark.parametrize('kind', ['dilated', 'channel'])
def test_large_maps_of_attention_need_little_memory(kind):
    """q, k and v would be 48 MiB, with and without their convolution; their windows are."""
    attn = DilatedAttention(64, 8, 32) if kind == 'dilated' else ChannelAttention(64, 32)
    x = torch.randn(1, 256, 256, 64)
    with torch.inference_mode():
        peak = peak_memory(lambda: attn(x), x.device)
    assert peak < (84 if kind == 'dilated' else 64) * 2**20


def test_weights_of_channel_attention_are_never_denormal(monkeypatch):
    """A CPU multiplies by them a hundred times as slowly."""
    attn = ChannelAttention(8, 4)
    torch.nn.init.normal_(attn.qkv.weight, std=3)
    torch.nn.init.normal_(attn.dwconv.weight, std=3)
    x, factors, bmm = torch.randn(1, 9, 9, 8), [], torch.bmm
    monkeypatch.setattr(torch, 'bmm', lambda a, b: factors.append(b) or bmm(a, b))
    with torch.no_grad():
        attn(x)
    _, weights = factors
    assert (weights == 0).any()
    assert weights[weights > 0].min() >= 1e-30
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 4))


@pytest.mark.usefixtures('one_thread')
def test_large_maps_need_little_memory():
    """The hidden map of this one alone would be 48 MiB."""
    block = HalfBlock(96, torch.nn.Identity()).eval()
    x = torch.randn(1, 2**15, 96)
    with torch.inference_mode():
        assert peak_memory(lambda: block(x), x.device) < 32 * 2**20


@pytest.mark.parametrize('scale', ['channel', 'group', 'tokens'])
def test_channel_attention_image_by_image(scale, perturb):
    """Without gradients images go one by one, with them together."""
    attn = perturb(ChannelAttention(8, 4, scale))
    x = torch.randn(3, 5, 6, 8)
    together = attn(x)
    assert together.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(attn(x), together.detach())


def test_training_keeps_one_hidden_map():
    """The input of GELU is kept for its gradient; its result is computed again."""
    layers = torch.nn.Sequential(FeedForward(64, 4), FeedForward(64, 4))
    x = torch.randn(1, 1024, 64)
    hidden = 1024 * 256 * 4

    def plain(x):
        for layer in layers:
            x = layer.fc2(torch.nn.functional.gelu(layer.fc1(x)))
        return x

    def gradients(forward):
        return torch.autograd.grad(forward(x).square().sum(), layers.parameters())

    for ours, theirs in zip(gradients(layers), gradients(plain), strict=True):
        torch.testing.assert_close(ours, theirs)
    saved = peak_memory(lambda: gradients(plain), x.device)
    saved -= peak_memory(lambda: gradients(layers), x.device)
    assert 0.9 * hidden < saved < 1.1 * hidden


@pytest.mark.parametrize('dtype', [torch.bfloat16, pytest.param(torch.float16, marks=needs_half)])
def test_norm_stays_in_half_precision(dtype):
    """As good as torch's, whose float32 result the next layer rounds; gradients of all it has."""
    norm, reference = LayerNorm(24), torch.nn.LayerNorm(24).double()
    torch.nn.init.normal_(norm.weight, 1, 0.2)
    torch.nn.init.normal_(norm.bias)
    reference.load_state_dict(norm.state_dict())
    x = (3 * torch.randn(5, 7, 24) + 1).to(dtype).requires_grad_()
    x64 = x.detach().double().requires_grad_()
    with torch.autocast('cpu', dtype):
        y = norm(x)
    assert y.dtype == dtype
    expected = reference(x64)
    scale = torch.finfo(dtype).eps
    assert (y - expected).abs().max() < 4 * scale * expected.abs().max()
    weights = torch.randn(y.shape)
    (y.float() * weights).sum().backward()
    (expected * weights).sum().backward()
    for ours, theirs in ((x, x64), *zip(norm.parameters(), reference.parameters(), strict=True)):
        difference = (ours.grad - theirs.grad).norm() / theirs.grad.norm()
        assert difference < 4 * scale
    assert norm(x64.float()).dtype == torch.float32
