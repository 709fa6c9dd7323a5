"""Small COCO data and options for Mask R-CNN, as fixtures for conftest files."""

import json

import numpy as np
import pytest
from PIL import Image

ARCH = dict(embed_dims=(8, 8, 16, 16), depths=(1, 1, 1, 1), stem_channels=8)
SIZE = 64, 48  # of the images: width, height


@pytest.fixture
def annotations():
    """COCO annotations of four images with a bright rectangle, alternately a cat and a dog."""
    images, objects = [], []
    for i in range(4):
        x, y, width, height = 8 + 4 * i, 6, 24, 30
        images.append(dict(id=i, file_name=f'{i}.png', width=SIZE[0], height=SIZE[1]))
        polygon = [x, y, x + width, y, x + width, y + height, x, y + height]
        objects.append(
            dict(
                id=i + 1,
                image_id=i,
                category_id=7 + i % 2,
                bbox=[x, y, width, height],
                area=width * height,
                segmentation=[polygon],
                iscrowd=0,
            )
        )
    categories = [dict(id=7, name='cat'), dict(id=8, name='dog')]
    return dict(images=images, annotations=objects, categories=categories)


@pytest.fixture
def write_coco(tmp_path, annotations):
    """Write the images and (modified) annotations to `tmp_path`/coco; return that folder."""

    def write(content=None):
        folder = tmp_path / 'coco'
        (folder / 'images').mkdir(parents=True, exist_ok=True)
        for image, row in zip(annotations['images'], annotations['annotations'], strict=True):
            pixels = np.full((SIZE[1], SIZE[0], 3), 40, np.uint8)
            x, y, width, height = row['bbox']
            pixels[y : y + height, x : x + width, row['category_id'] - 7] = 220
            Image.fromarray(pixels).save(folder / 'images' / image['file_name'])
        (folder / 'all.json').write_text(json.dumps(annotations if content is None else content))
        return folder

    return write


@pytest.fixture
def options(write_coco):
    """Options for mask_rcnn_dualattn_t in tools/train.py: these images and a narrow network."""

    def make(content=None):
        folder = write_coco(content)
        chosen = {
            'classes': ['cat', 'dog'],
            'val_evaluator.ann_file': str(folder / 'all.json'),
            'test_evaluator.ann_file': str(folder / 'all.json'),
            'train_dataloader.dataset.pipeline.2.scales': [(64, 48)],
            'model.backbone.arch': dict(ARCH, _delete_=True),
            'model.backbone.head_dim': 8,
            'model.backbone.group_dim': 8,
            'model.backbone.init_cfg': None,
            'model.neck.in_channels': [8, 8, 16, 16],
            'model.neck.out_channels': 16,
            'model.rpn_head.in_channels': 16,
            'model.rpn_head.feat_channels': 16,
            'model.roi_head.bbox_roi_extractor.out_channels': 16,
            'model.roi_head.bbox_head.in_channels': 16,
            'model.roi_head.bbox_head.fc_out_channels': 16,
            'model.roi_head.mask_roi_extractor.out_channels': 16,
            'model.roi_head.mask_head.in_channels': 16,
            'model.roi_head.mask_head.conv_out_channels': 16,
            'model.train_cfg.rpn_proposal.nms_pre': 50,
            'model.test_cfg.rpn.nms_pre': 50,
            'model.test_cfg.rcnn.max_per_img': 5,
            'log_level': 'ERROR',
        }
        for loader in ('train', 'val', 'test'):
            start = f'{loader}_dataloader.'
            chosen |= {
                start + 'num_workers': 0,
                start + 'persistent_workers': False,
                start + 'dataset.data_root': str(folder),
                start + 'dataset.ann_file': 'all.json',
                start + 'dataset.data_prefix.img': 'images',
            }
            if loader != 'train':
                chosen[start + 'dataset.pipeline.1.scale'] = SIZE
        return chosen

    return make
