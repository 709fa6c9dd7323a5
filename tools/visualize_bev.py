"""A LiDAR frame and its objects from above: tools/visualize_bev.py CONFIG CHECKPOINT -o x.png"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import nn

from dualattn_mm.cli.options import CfgOptions
from dualattn_mm.datasets.checks import lidar
from dualattn_mm.engine.run import load_config
from dualattn_mm.utils.atomic import atomic_write_bytes
from dualattn_mm.utils.checkpoint_file import read_checkpoint
from dualattn_mm.utils.command import run_command
from dualattn_mm.utils.errors import UserError, first_line
from dualattn_mm.utils.terminal import print_line
from dualattn_mm.visualization.birds_eye import birds_eye_view


def draw_detections(
    config: str,
    checkpoint: str,
    output: str,
    points: str | None = None,
    frame: int = 0,
    score_thr: float = 0.3,
    device: str | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> tuple[int, int | None]:
    """Detect objects in a frame and draw them from above, with the true ones where they are known.

    Args:
        config: of a LiDAR detector of mmdet3d.
        checkpoint: its weights, mmengine's file.
        output: the PNG.
        points: a .bin file, as the config's test pipeline loads it; None takes the test data set.
        frame: number of the frame in the test data set, whose true boxes are drawn as well.
        score_thr: of the boxes that are drawn, at least.
        device: by default a GPU, if there is one.
        cfg_options: replaces values of the config, by dotted names.

    Returns:
        Numbers of predicted boxes, and of true ones that have their middle in the detector's range;
        None where the truth is not known.

    Raises:
        UserError: if a file or an argument cannot be used.
    """
    if Path(output).suffix.lower() != '.png':
        raise UserError(f'{output}: the picture is a .png')
    cfg = load_config(config, cfg_options)
    if cfg.get('default_scope') != 'mmdet3d':
        raise UserError(f'{config} is not for mmdet3d')
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        data = _read_frame(cfg, frame) if points is None else _read_points(cfg, points)
        detector = _load(cfg, checkpoint)
        detector.to(device or ('cuda' if torch.cuda.is_available() else 'cpu')).eval()
        with torch.no_grad():
            [sample] = detector.test_step(pseudo_collate([data]))
    found = sample.pred_instances_3d
    predicted = found.bboxes_3d.tensor[found.scores_3d >= score_thr].cpu().numpy()
    x0, y0, _, x1, y1, _ = cfg.model.data_preprocessor.voxel_layer.point_cloud_range
    true = None
    if points is None and sample.eval_ann_info is not None:
        boxes = sample.eval_ann_info['gt_bboxes_3d']
        true = boxes[boxes.in_range_bev((x0, y0, x1, y1))].tensor.numpy()
    picture = birds_eye_view(
        data['inputs']['points'].numpy(),
        predicted,
        true,
        (x0, y0, x1, y1),
        Path(points or sample.lidar_path).name,
    )
    try:
        atomic_write_bytes(Path(output), picture)
    except OSError as error:
        raise UserError(f'{output} cannot be written: {error.strerror}') from None
    return len(predicted), None if true is None else len(true)


def _read_frame(cfg: Config, frame: int) -> dict[str, Any]:
    """A frame of the test data set, as the test pipeline makes it."""
    lidar.check(cfg, 'test')
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    if not 0 <= frame < len(dataset):
        raise UserError(f'frame {frame}: the test data set has frames 0 to {len(dataset) - 1}')
    return dataset[frame]


def _read_points(cfg: Config, path: str) -> dict[str, Any]:
    """A file of points, as the test pipeline makes it."""
    from mmdet3d.structures import get_box_type

    pipeline: list[Mapping] = cfg.test_dataloader.dataset.pipeline
    [load] = [step for step in pipeline if step['type'] == 'LoadPointsFromFile']
    lidar.check_points(path, load['load_dim'])
    box_type, box_mode = get_box_type('LiDAR')
    info = dict(lidar_path=path, num_pts_feats=load['load_dim'])
    # as mmdet3d's LidarDet3DInferencer does
    return Compose(pipeline)(
        dict(
            lidar_points=info,
            timestamp=1,
            axis_align_matrix=np.eye(4),
            box_type_3d=box_type,
            box_mode_3d=box_mode,
        )
    )


def _load(cfg: Config, checkpoint: str) -> nn.Module:
    """The detector with all of its weights."""
    lidar.check_sparse_convolution(cfg)
    if not Path(checkpoint).is_file():
        raise UserError(f'no checkpoint {checkpoint}')
    detector = MODELS.build(cfg.model)
    try:
        _load_checkpoint_to_model(detector, read_checkpoint(checkpoint), strict=True)
    except RuntimeError as error:
        raise UserError(f'{checkpoint} does not fit the model: {first_line(error)}') from None
    return detector


def main() -> int:
    parser = argparse.ArgumentParser(
        description='Detect the objects of one LiDAR frame and draw them from above, beside the '
        'true ones where the frame is of the test data set.'
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help='config of a LiDAR detector of mmdet3d')
    add('checkpoint', metavar='CHECKPOINT', help='its checkpoint')
    add('-o', '--output', required=True, metavar='FILE', help='a PNG file')
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--frame', type=int, default=0, help="number in the config's test data (default: 0)"
    )
    which.add_argument('--points', metavar='FILE', help='a .bin file instead')
    add('--score-thr', type=float, default=0.3, help='of predicted boxes (default: %(default)s)')
    add('--device', help='by default a GPU, if there is one')
    add('--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE', help='as in train.py')
    args = parser.parse_args()

    def run() -> None:

        predicted, true = draw_detections(**vars(args))
        known = '' if true is None else f', {true} true ones'
        print_line(f'{predicted} predicted boxes{known} -> {args.output}')

    return run_command(run)


if __name__ == '__main__':
    sys.exit(main())
