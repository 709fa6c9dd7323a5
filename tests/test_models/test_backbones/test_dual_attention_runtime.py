"""The encoder at run time: precision, compilation, copies, and computing in place."""

import copy
import pickle

import numpy as np
import pytest
import torch
from small_encoder import small
from torch import nn

from dualattn_mm import DualAttention
from dualattn_mm.models.backbones.dual_attention import PatchConv2d


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
    """Every kind of stage and layer, with stochastic depth; a graph break is an error.

    Some of the stages need padding to whole windows, or before they halve the size.
    """
    arch = dict(embed_dims=(8, 16, 16), depths=(1, 2, 1), stem_channels=6)
    model = getattr(small(arch=arch, out_indices=(0, 1, 2), drop_path_rate=0.2), mode)()
    torch._dynamo.reset()
    traced = torch.compile(model, fullgraph=True, backend='eager', dynamic=False)
    assert len(traced(torch.randn(2, 3, 24, 47))) == 3


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(torch.compiler, 'is_exporting'), reason='torch < 2.7')
@torch.no_grad()
def test_one_graph_serves_many_sizes(perturb):
    """Whether windows need padding or not, also for a single one, in batches of different sizes."""
    arch = dict(embed_dims=(8,), depths=(1,), stem_channels=4)
    model = perturb(small(arch=arch, out_indices=0)).eval()
    torch._dynamo.reset()
    graphs = []

    def backend(graph, inputs):
        graphs.append(inputs)
        return graph.forward

    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=backend)
    for shape in (2, 3, 51, 97), (3, 3, 48, 96), (2, 3, 64, 64), (2, 3, 12, 12):
        x = torch.randn(shape)
        torch.testing.assert_close(compiled(x), model(x))
    [inputs] = graphs
    # A float attribute would be a tensor without dimensions, and torch would trace twice.
    assert all(x.dim() for x in inputs if isinstance(x, torch.Tensor))


@torch.no_grad()
def test_trace_serves_many_sizes(perturb):
    """Also that of a size which needs no padding."""
    model = perturb(small(out_indices=(0, 3))).eval()
    traced = torch.jit.trace(model, torch.randn(1, 3, 96, 96), check_trace=False)
    x = torch.randn(2, 3, 51, 97)
    torch.testing.assert_close(traced(x), model(x))


@pytest.mark.filterwarnings('ignore')
def test_older_exporter_writes_onnx(perturb, tmp_path):
    """That by tracing, which mmdeploy uses."""
    runtime = pytest.importorskip('onnxruntime')
    model, x = perturb(small()).eval(), torch.randn(1, 3, 51, 97)
    with torch.no_grad():
        torch.onnx.export(model, x, tmp_path / 'a.onnx', dynamo=False, opset_version=17)
        expected = model(x)
    session = runtime.InferenceSession(tmp_path / 'a.onnx')
    maps = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    for out, map_ in zip(maps, expected, strict=True):
        np.testing.assert_allclose(out, map_, atol=1e-4)


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
