"""The encoder's ways to compute on a GPU: compiled, recomputed, frozen, and with large maps."""

import copy

import pytest
import torch
from gpu_networks import (
    BEV,
    ENCODER,
    NEEDS,
    assert_norm_within,
    assert_within,
    build,
    maps_and_gradients,
)
from tiny import GENERATOR

import dualattn_mm  # noqa: F401  registers the networks
from dualattn_mm.models.backbones.attention import ChannelAttention, DilatedAttention
from dualattn_mm.models.backbones.windows import attend, dilated_partition, key_mask

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures('full_precision')]

# Two stages, because compiling takes seconds for each.
TWO_STAGES = dict(embed_dims=(8, 16), depths=(1, 1), stem_channels=4)
COMPILED = {
    'encoder': (dict(ENCODER, arch=TWO_STAGES, out_indices=(0, 1)), (2, 3, 42, 60)),
    'colorizer': (GENERATOR, (2, 1, 32, 64)),
    'bev': (dict(BEV, out_channels=(32,), layer_nums=(5,), layer_strides=(2,)), (2, 6, 32, 30)),
}


@pytest.mark.parametrize('name', COMPILED)
def test_compiled_equals_eager(device, name):
    pytest.importorskip(NEEDS.get(name, 'torch'))
    config, shape = COMPILED[name]
    network, x = build(config).to(device), torch.randn(shape, device=device)
    # Without a GPU, without the C++ that inductor would write, which takes a minute to compile.
    backend = 'inductor' if device.type == 'cuda' else 'aot_eager_decomp_partition'
    torch._dynamo.reset()
    compiled = torch.compile(network, fullgraph=True, dynamic=False, backend=backend)
    expected = maps_and_gradients(copy.deepcopy(network), x)
    found = maps_and_gradients(compiled, x)
    for values, wanted in zip(found, expected, strict=True):
        values = {str(k).removeprefix('_orig_mod.'): v for k, v in values.items()}
        assert_within(values, {str(k): v.double().cpu() for k, v in wanted.items()}, 1e-4)


def test_graph_replay_equals_eager(device):
    """Nothing in the network waits for the GPU or reads from it, which a capture forbids."""
    if device.type != 'cuda':
        pytest.skip('only CUDA captures graphs')
    network = build(ENCODER).to(device).eval()
    x = torch.randn(1, 3, 75, 70, device=device)
    with torch.no_grad():
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # allocates what libraries need before the capture
            network(x)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outs = network(x)
        x.copy_(torch.randn_like(x))
        graph.replay()
        for out, expected in zip(outs, network(x), strict=True):
            torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)


def test_checkpointing_changes_nothing_but_saves_memory(device):
    """The recomputed drop path makes the same decisions."""
    plain = build(dict(ENCODER, drop_path_rate=0.6)).to(device)
    saving = build(dict(ENCODER, drop_path_rate=0.6, with_cp=True)).to(device)
    x = torch.randn(8, 3, 64, 64, device=device)
    results, saved = [], []
    for network in (plain, saving):
        storages = {}  # a tensor may be saved by several operations

        def keep(tensor, storages=storages):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        torch.manual_seed(3)
        # Not the peak of the allocator, which also counts the workspaces of libraries.
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            results.append(maps_and_gradients(network, x))
        saved.append(sum(storages.values()))
    for found, expected in zip(*reversed(results), strict=True):
        assert_within(found, {k: v.double().cpu() for k, v in expected.items()}, 1e-4)
    assert saved[1] < 0.5 * saved[0]


def test_frozen_stages_stay_and_others_learn(device):
    network = build(dict(ENCODER, frozen_stages=1, drop_path_rate=0.3)).to(device)
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
    with torch.autocast(device.type, torch.bfloat16):
        outs = network(torch.randn(2, 3, 64, 64, device=device))
    sum(out.float().square().sum() for out in outs).backward()
    optimizer.step()
    same = {k for k, v in network.state_dict().items() if torch.equal(v, before[k])}
    frozen = ('stem.', 'downsamples.0.', 'stages.0.', 'norm0.')
    assert same == {name for name in before if name.startswith(frozen)}


@pytest.mark.parametrize('size', [514, 515], ids=['whole windows', 'padded'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
def test_more_windows_than_a_grid_of_cuda_has_blocks(device, size, dtype):
    """65,536 windows or more in a batch, as of a thousand images of 224 x 224."""
    attention = build_attention(DilatedAttention(8, 2, 8), device)
    x = torch.randn(1, size, size, 8, device=device, requires_grad=True)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        out = attention(x)
    out.float().square().sum().backward()
    whole = dict(out=out.detach(), gradient=x.grad)
    y = x.detach().double().cpu().requires_grad_()
    expected = attention.double().cpu()(y)
    expected.square().sum().backward()
    tolerance = 1e-4 if dtype == torch.float32 else 2e-2
    assert_norm_within(whole, dict(out=expected.detach(), gradient=y.grad), tolerance)


def test_windows_of_64_tokens_with_large_negative_logits(device):
    """cuDNN's backward gave NaN for them with a mask in half precision (pytorch #196678)."""
    qkv = torch.randn(1, 20, 13, 3 * 64)  # of 24 x 16 with its padding
    qkv[..., :128] *= 0.1
    qkv[..., :64] += 6
    qkv[..., 64:128] -= 6
    results = []
    for x in (qkv.to(device, torch.bfloat16), qkv.bfloat16().double()):
        x.requires_grad_()
        out = attend(dilated_partition(x, 8), key_mask(x, 8), head_dim=32)
        out.double().square().sum().backward()
        results.append(dict(out=out.detach(), gradient=x.grad))
    assert_norm_within(*results, 2e-2)


def test_sums_over_many_pixels_fit_into_float16(device):
    """Channel attention adds up products of all pixels, which would exceed 65,504 unscaled."""
    attention = build_attention(ChannelAttention(64, 32), device)
    x = 4 * torch.randn(1, 256, 192, 64, device=device)
    with torch.no_grad():
        expected = attention(x)
        with torch.autocast(device.type, torch.float16):
            out = attention(x)
    assert_norm_within(dict(out=out), dict(out=expected.double().cpu()), 2e-2)


def build_attention(attention, device):
    torch.manual_seed(0)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return attention.to(device)
