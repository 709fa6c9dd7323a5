"""The CUDA operations of mmcv that the detectors use, against the CPU.

The CPU computes in float64, except for overlaps of turned boxes and detectors, which mmcv has in
float32 alone: a rehearsal compares these two with themselves.
"""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from gpu_networks import assert_norm_within, assert_within
from lidar import CONFIGS, cloud, frame, prepared, shrink
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torchvision.ops import nms

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.integration,
    pytest.mark.usefixtures('full_precision'),
]


@pytest.fixture
def ops():
    return pytest.importorskip('mmcv.ops', reason='mmcv is missing, or has no operations')


def corners(count):
    """Boxes (x1, y1, x2, y2) that overlap, and their scores."""
    low = 50 * torch.rand(count, 2)
    return torch.cat([low, low + 5 + 20 * torch.rand(count, 2)], 1), torch.rand(count)


def turned(count):
    """Boxes (x, y, width, height, angle)."""
    sizes = 4 + 8 * torch.rand(count, 2)
    return torch.cat([30 * torch.rand(count, 2), sizes, 6.3 * torch.rand(count, 1) - 3.1], 1)


def test_nms_keeps_the_same_boxes(ops, device):
    boxes, scores = corners(200)
    found = ops.nms(boxes.to(device), scores.to(device), 0.4)
    expected = nms(boxes.double(), scores.double(), 0.4)
    assert torch.equal(found[1].cpu(), expected)
    torch.testing.assert_close(found[0].cpu(), torch.cat([boxes, scores[:, None]], 1)[expected])
    boxes = turned(200)
    found = ops.nms_rotated(boxes.to(device), scores.to(device), 0.2)
    expected = ops.nms_rotated(boxes.double(), scores.double(), 0.2)
    assert torch.equal(found[1].cpu(), expected[1])


def test_overlaps_of_turned_boxes_are_the_same(ops, device):
    one, other = turned(40), turned(50)
    found, expected = (ops.box_iou_rotated(one.to(d), other.to(d)) for d in (device, 'cpu'))
    assert expected.max() > 0.3
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16], ids=str)
def test_roi_align_and_its_gradient_are_the_same(ops, device, dtype):
    if (device.type, dtype) == ('cpu', torch.float16):
        pytest.skip('mmcv has it in float16 for CUDA alone')
    boxes, _ = corners(10)
    rois = torch.cat([torch.arange(10)[:, None] % 2, boxes.round()], 1)  # exact in float16
    x = torch.randn(2, 8, 24, 20)
    results = []
    for place, kind in ((device, dtype), (torch.device('cpu'), torch.float64)):
        given = x.to(place, kind, copy=True).requires_grad_()
        out = ops.RoIAlign(7, spatial_scale=0.25, sampling_ratio=2)(given, rois.to(place, kind))
        out.double().square().sum().backward()
        results.append(dict(out=out.detach(), gradient=given.grad))
    assert_norm_within(*results, 1e-4 if dtype == torch.float32 else 2e-2)


def in_order(voxels):
    """Sort voxels by their places; dynamic ones are only the places of the points."""
    if isinstance(voxels, torch.Tensor):
        return [voxels]
    numbers = voxels[1].cpu() @ torch.tensor([10_000, 100, 1], dtype=torch.int32)
    order = numbers.argsort().to(voxels[1].device)
    return [part[order] for part in voxels]


@pytest.mark.parametrize('max_points', [3, -1], ids=['hard', 'dynamic'])
def test_voxels_are_the_same(ops, device, max_points):
    limits = [0.0, -4, -2, 8, 4, 2]
    points = cloud(limits, 500, 4)
    voxelize = ops.Voxelization([0.5, 0.5, 1], limits, max_points, max_voxels=2000)
    found, expected = (in_order(voxelize(p)) for p in (points.to(device), points.double()))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.cpu(), other.to(one.dtype))


def test_focal_loss_is_its_definition(ops, device):
    if device.type == 'cpu':
        pytest.skip('mmcv has the focal loss for CUDA alone')
    logits, labels = torch.randn(30, 5), torch.randint(0, 6, (30,))  # 5 is the background
    found = ops.sigmoid_focal_loss(logits.to(device), labels.to(device), 2.0, 0.25, None, 'none')
    truth = F.one_hot(labels, 6)[:, :5].float()
    right = torch.where(truth > 0, logits.sigmoid(), 1 - logits.sigmoid())
    balance = torch.where(truth > 0, 0.25, 0.75)
    expected = -balance * (1 - right) ** 2 * right.log()
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-5)


def test_deformable_attention_is_the_same(ops, device):
    """As in Deformable DETR and DINO; on the CPU, mmcv computes it by `grid_sample`."""
    module = ops.MultiScaleDeformableAttention(32, 4, num_levels=2, num_points=3, batch_first=True)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    shapes = torch.tensor([[6, 5], [3, 2]])
    given = dict(
        query=torch.randn(2, 7, 32),
        value=torch.randn(2, 36, 32),
        reference_points=torch.rand(2, 7, 2, 2),
        spatial_shapes=shapes,
        level_start_index=torch.tensor([0, 30]),
    )
    results = []
    for network, place, kind in (
        (copy.deepcopy(module).to(device), device, torch.float32),
        (module.double(), 'cpu', torch.float64),
    ):
        moved = {
            k: v.to(place, kind if v.is_floating_point() else v.dtype) for k, v in given.items()
        }
        out = network.eval()(**moved)
        out.square().sum().backward()
        grads = {k: p.grad for k, p in network.named_parameters()}
        results.append(dict(out=out.detach(), **grads))
    assert_within(*results, 1e-4)


@pytest.mark.parametrize('kind', ['SubMConv3d', 'SparseConv3d'])
def test_sparse_convolution_is_the_dense_one(ops, device, kind):
    """mmdet3d uses mmcv's where spconv is not installed."""
    sparse = ops
    if device.type == 'cpu':
        sparse = pytest.importorskip('spconv.pytorch', reason='mmcv has it for CUDA alone')
        pytest.importorskip('dualattn_mm.engine.mmdet3d_compat')
    shape, channels = (6, 8, 10), (4, 5)
    cells = torch.rand(shape) < 0.2
    places = cells.nonzero()
    features = torch.randn(len(places), channels[0])
    dense = torch.zeros(1, channels[0], *shape)
    dense[0][:, cells] = features.T
    stride = 1 if kind == 'SubMConv3d' else 2
    layer = getattr(sparse, kind)(*channels, 3, stride=stride, padding=1, bias=False)
    weight = 0.2 * torch.randn(3, 3, 3, *channels)  # depth, height, width, in, out
    expected = F.conv3d(dense, weight.permute(4, 3, 0, 1, 2), stride=stride, padding=1)
    with torch.no_grad():
        own = weight if layer.weight.shape == weight.shape else weight.permute(4, 0, 1, 2, 3)
        layer.weight.copy_(own)
    batch = torch.cat([torch.zeros(len(places), 1), places], 1).int()
    given = sparse.SparseConvTensor(features.to(device), batch.to(device), shape, 1)
    found = layer.to(device)(given).dense().detach()
    if kind == 'SubMConv3d':
        expected = expected * cells
    assert_within(dict(out=found), dict(out=expected.double()), 1e-4)


@pytest.mark.parametrize('name', ['centerpoint_pillar_dualattn', 'second_dualattn_kitti'])
def test_lidar_detectors_have_the_losses_of_the_cpu(openmmlab, device, name):
    openmmlab['mmdet3d']  # skips where it is missing
    kitti = name.startswith('second')
    if kitti:
        pytest.importorskip('spconv', reason='the CPU computes sparse convolutions by spconv alone')
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    limits = shrink(cfg.model, 64 if not kitti else 128)
    size, code, features = ([3.9, 1.6, 1.56], 7, 4) if kitti else ([4.6, 1.9, 1.7], 9, 5)
    results = []
    with DefaultScope.overwrite_default_scope('mmdet3d'), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        clouds = [cloud(limits, 300, features), cloud(limits, 200, features)]
        for network in (copy.deepcopy(model).to(device), model):
            samples = [frame(limits, size, 0, code) for _ in clouds]
            losses = network(**prepared(network, clouds, samples, True), mode='loss')
            total, logs = network.parse_losses(losses)
            total.backward()
            results.append({k: v.detach() for k, v in logs.items()})
            with torch.no_grad():
                found = network(**prepared(network, clouds, samples, False), mode='predict')
            assert all(len(f.pred_instances_3d.scores_3d) <= 500 for f in found)
    found, expected = results
    assert_within(found, {k: v.double() for k, v in expected.items()}, 1e-3)
