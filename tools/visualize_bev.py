"""Draw a LiDAR frame and its objects: tools/visualize_bev.py CONFIG CHECKPOINT -o x.png"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dualattn_mm.cli.options import CfgOptions
from dualattn_mm.utils.command import required_imports, run_command
from dualattn_mm.utils.errors import UserError, first_line, writing_to
from dualattn_mm.utils.terminal import print_line

with required_imports():
    import numpy as np
    import torch
    from mmengine.config import Config
    from mmengine.dataset import Compose, pseudo_collate
    from mmengine.registry import DATASETS, MODELS, DefaultScope
    from mmengine.runner.checkpoint import _load_checkpoint_to_model
    from torch import nn

    from dualattn_mm.datasets.checks import lidar
    from dualattn_mm.engine.configs import load_config
    from dualattn_mm.utils.atomic import atomic_write_bytes
    from dualattn_mm.utils.checkpoint_file import read_checkpoint
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
    """Detect objects in a frame and draw them from above, together with known true boxes.

    Args:
        config: config of an mmdet3d LiDAR detector.
        checkpoint: mmengine checkpoint of the detector.
        output: the PNG file to write.
        points: a .bin file that the test pipeline of the config can load; None uses the test
            dataset.
        frame: index of the frame in the test dataset, whose true boxes are also drawn.
        score_thr: smallest score of the boxes that are drawn.
        device: the device; the default is a GPU if there is one.
        cfg_options: values of the config to override, by dotted names.

    Returns:
        The number of predicted boxes, and the number of true boxes whose center is in the range of
        the detector, or None if the ground truth is not known.

    Raises:
        UserError: if a file or an argument cannot be used.
    """
    if Path(output).suffix.lower() != '.png':
        raise UserError(f'{output} must end in .png')
    cfg = load_config(config, cfg_options)
    if cfg.get('default_scope') != 'mmdet3d':
        raise UserError(f'{config} is not an mmdet3d config')
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        data = _read_frame(cfg, frame) if points is None else _read_points(cfg, points)
        detector = _load(cfg, checkpoint)
        try:
            detector.to(device or ('cuda' if torch.cuda.is_available() else 'cpu')).eval()
        except (RuntimeError, AssertionError) as error:
            raise UserError(f'--device {device} cannot be used: {first_line(error)}') from None
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
    with writing_to(output):
        atomic_write_bytes(Path(output), picture)
    return len(predicted), None if true is None else len(true)


def _read_frame(cfg: Config, frame: int) -> dict[str, Any]:
    """Load a frame of the test dataset with the test pipeline."""
    lidar.check(cfg, 'test')
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    if not 0 <= frame < len(dataset):
        raise UserError(f'frame {frame}: the test dataset has frames 0 to {len(dataset) - 1}')
    return dataset[frame]


def _read_points(cfg: Config, path: str) -> dict[str, Any]:
    """Load a file of points with the test pipeline."""
    from mmdet3d.structures import get_box_type

    pipeline: list[Mapping] = cfg.test_dataloader.dataset.pipeline
    [load] = [step for step in pipeline if step['type'] == 'LoadPointsFromFile']
    lidar.check_points(path, load['load_dim'])
    box_type, box_mode = get_box_type('LiDAR')
    info = dict(lidar_path=path, num_pts_feats=load['load_dim'])
    # The same fields as in mmdet3d's LidarDet3DInferencer.
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
    """Build the detector and load its weights strictly."""
    lidar.check_sparse_convolution(cfg)
    if not Path(checkpoint).is_file():
        raise UserError(f'checkpoint {checkpoint} does not exist')
    detector = MODELS.build(cfg.model)
    try:
        _load_checkpoint_to_model(detector, read_checkpoint(checkpoint), strict=True)
    except RuntimeError as error:
        raise UserError(f'{checkpoint} does not fit the model: {first_line(error)}') from None
    return detector


def main() -> int:
    parser = argparse.ArgumentParser(
        description='Detect the objects in a LiDAR frame and draw them from above. If the frame is '
        'from the test dataset, the true boxes are also drawn.'
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help='config of an mmdet3d LiDAR detector')
    add('checkpoint', metavar='CHECKPOINT', help='checkpoint of the detector')
    add('-o', '--output', required=True, metavar='FILE', help='a PNG file')
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--frame', type=int, default=0, help='index of a frame in the test dataset (default: 0)'
    )
    which.add_argument('--points', metavar='FILE', help='use this .bin file instead')
    add('--score-thr', type=float, default=0.3, help='smallest score (default: %(default)s)')
    add('--device', help='device (default: a GPU if there is one)')
    add('--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE', help='as in train.py')
    args = parser.parse_args()

    def run() -> None:

        predicted, true = draw_detections(**vars(args))
        known = '' if true is None else f', {true} true boxes'
        print_line(f'{predicted} predicted boxes{known} -> {args.output}')

    return run_command(run)


if __name__ == '__main__':
    sys.exit(main())
