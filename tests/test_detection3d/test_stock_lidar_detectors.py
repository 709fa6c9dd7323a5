"""mmdet3d's own configs with the lines of docs/detection3d.md."""

import re
import warnings
from pathlib import Path

import pytest
import torch
from lidar import cloud, frame, prepared, shrink
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

DOC = (Path(__file__).resolve().parents[2] / 'docs' / 'detection3d.md').read_text()
BLOCKS = [b for b in re.findall(r'```python\n(.*?)```', DOC, re.DOTALL) if '_base_ =' in b]
VOXELNET, MULTI_MODAL = BLOCKS
CAR = [3.9, 1.6, 1.56]
# Lines, features of a point, length of a box's code.
STOCK = {
    'second/second_hv_secfpn_8xb6-80e_kitti-3d-3class': (VOXELNET, 4, 7),
    'pointpillars/pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class': (VOXELNET, 4, 7),
    'centerpoint/centerpoint_voxel0075_second_secfpn_8xb4-cyclic-20e_nus-3d': (MULTI_MODAL, 5, 9),
    'centerpoint/centerpoint_pillar02_second_secfpn_8xb4-cyclic-20e_nus-3d': (MULTI_MODAL, 5, 9),
    'second/second_hv_secfpn_sbn-all_16xb2-2x_waymoD5-3d-3class': (MULTI_MODAL, 5, 7),
    'pointpillars/pointpillars_hv_secfpn_sbn-all_16xb2-2x_waymoD5-3d-3class': (MULTI_MODAL, 5, 7),
    'pointpillars/pointpillars_hv_secfpn_sbn-all_8xb2-2x_lyft-3d': (MULTI_MODAL, 4, 7),
}


@pytest.mark.parametrize('stock', STOCK)
def test_loss_and_predict(openmmlab, tmp_path, stock):
    lines, features, code_size = STOCK[stock]
    path = tmp_path / 'config.py'
    path.write_text(re.sub(r"'mmdet3d::.*?'", f"'mmdet3d::{stock}.py'", lines))
    cfg = Config.fromfile(path)
    sparse = 'SparseEncoder' in str(cfg.model)
    if sparse:
        pytest.importorskip('spconv')
    limits = shrink(cfg.model, cells=128 if sparse else 64)
    with DefaultScope.overwrite_default_scope('mmdet3d'), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        model = MODELS.build(cfg.model)
        model.init_weights()
        clouds = [cloud(limits, 300, features), cloud(limits, 200, features)]
        samples = [frame(limits, CAR, 0, code_size) for _ in clouds]
        total, _ = model.parse_losses(model(**prepared(model, clouds, samples, True), mode='loss'))
        total.backward()
        with torch.no_grad():
            results = model(**prepared(model, clouds, samples, False), mode='predict')
    assert torch.isfinite(total)
    backbone = getattr(model, 'pts_backbone', None) or model.backbone
    assert type(backbone).__name__ == 'DualAttentionBEV'
    unused = [n for n, p in backbone.named_parameters() if p.grad is None]
    assert not unused  # distributed training takes them for an error
    first = next(p for p in model.parameters() if p.requires_grad)
    assert first.grad.isfinite().all()
    assert first.grad.any()  # through the backbone to the voxels
    assert len(results) == 2
    for result in results:
        found = result.pred_instances_3d
        assert found.bboxes_3d.tensor.shape == (len(found.scores_3d), code_size)
        assert torch.isfinite(found.bboxes_3d.tensor).all()
