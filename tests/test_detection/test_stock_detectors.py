"""mmdet's own configs with the lines of docs/detection.md."""

import re
import warnings
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope

DOC = (Path(__file__).resolve().parents[2] / 'docs' / 'detection.md').read_text()
BLOCKS = [b for b in re.findall(r'```python\n(.*?)```', DOC, re.DOTALL) if '_base_ =' in b]
FPN4, FPN3, DETR, RTMDET = BLOCKS
[ADAMW] = [b for b in re.findall(r'```python\n(.*?)```', DOC, re.DOTALL) if 'AdamW' in b]
# Few layers and queries where they take time; widths stay.
STOCK = {
    'faster_rcnn/faster-rcnn_r50_fpn_1x_coco': (FPN4, {}),
    'retinanet/retinanet_r50_fpn_1x_coco': (FPN3, {}),
    'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco': (FPN3, {}),
    'deformable_detr/deformable-detr_r50_16xb2-50e_coco': (
        DETR,
        {'encoder.num_layers': 1, 'decoder.num_layers': 1, 'num_queries': 20},
    ),
    'dino/dino-4scale_r50_8xb2-12e_coco': (
        DETR,
        # as many queries as a small image has pixels in the encoder's maps
        {'encoder.num_layers': 1, 'decoder.num_layers': 1, 'num_queries': 20},
    ),
    'rtmdet/rtmdet_tiny_8xb32-300e_coco': (RTMDET, {}),
    # which resizes by the iteration of a Runner
    'yolox/yolox_tiny_8xb8-300e_coco': (RTMDET, {'data_preprocessor.batch_augments': None}),
}


def config(path, stock, lines):
    path.write_text(re.sub(r"'mmdet::.*?'", f"'mmdet::{stock}.py'", lines))
    return Config.fromfile(path)


@pytest.mark.parametrize('stock', STOCK)
def test_loss_and_predict(openmmlab, tmp_path, stock):
    from mmdet.testing import demo_mm_inputs

    lines, fewer = STOCK[stock]
    cfg = config(tmp_path / 'config.py', stock, lines)
    assert cfg.model.backbone.arch == 'tiny'
    cfg.model.backbone.arch = dict(
        embed_dims=(96, 192, 384, 768), depths=(1, 1, 1, 1), stem_channels=8
    )
    cfg.merge_from_dict({f'model.{name}': value for name, value in fewer.items()})
    with DefaultScope.overwrite_default_scope('mmdet'), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        model = MODELS.build(cfg.model)
        model.init_weights()  # some parameters of DETRs are whatever the memory held
        batch = demo_mm_inputs(
            batch_size=1, image_shapes=[(3, 125, 130)], num_items=[3], num_classes=80
        )
        losses = model(**model.data_preprocessor(batch, True), mode='loss')
        total, _ = model.parse_losses(losses)
        total.backward()
        with torch.no_grad():
            [result] = model.eval()(**model.data_preprocessor(batch, False), mode='predict')
    assert torch.isfinite(total)
    unused = [n for n, p in model.backbone.named_parameters() if p.grad is None]
    assert not unused  # distributed training takes them for an error
    boxes = result.pred_instances.bboxes
    assert boxes.shape == (len(result.pred_instances.scores), 4)
    assert torch.isfinite(boxes).all()


@pytest.mark.parametrize('stock', [name for name in STOCK if name.endswith('1x_coco')])
def test_adamw_replaces_sgd(openmmlab, tmp_path, stock):
    """Also the factors of learning rates that an original has for SGD."""
    cfg = config(tmp_path / 'config.py', stock, STOCK[stock][0] + ADAMW)
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        optimizer = build_optim_wrapper(MODELS.build(cfg.model), cfg.optim_wrapper).optimizer
    assert type(optimizer) is torch.optim.AdamW
    assert {group['lr'] for group in optimizer.param_groups} == {1e-4}
    assert {group['weight_decay'] for group in optimizer.param_groups} == {0.0, 0.05}
