"""The bird's-eye view against mmdet3d's own corners."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from dualattn_mm.visualization.birds_eye import birds_eye_view, corners


def picture(points, predicted, true, limits=(0, -5, 20, 5)):
    png = birds_eye_view(points, predicted, true, limits, 'title')
    return np.asarray(Image.open(io.BytesIO(png)).convert('RGB')).astype(int)


def colored(image, red):
    """Return where the image is red (predicted) or green (true), without the legend."""
    r, g, b = image[..., 0], image[..., 1], image[..., 2]
    where = (r > 180) & (g < 90) & (b < 90) if red else (g > 120) & (r < 90) & (b < 90)
    where[: len(image) // 4, image.shape[1] // 2 :] = False
    return np.argwhere(where)


BOX = np.array([[5.0, 0, -1, 4, 2, 1.5, 0]])


def test_boxes_stand_in_their_places():
    image = picture(np.zeros((0, 4)), BOX, BOX + np.array([8, -1, 0, 0, 0, 0, 0]))
    red, green = colored(image, True), colored(image, False)
    assert red[:, 1].max() < green[:, 1].min()  # x to the right
    assert red[:, 0].mean() < green[:, 0].mean()  # y up
    spans = np.ptp(red, axis=0)
    assert spans[1] == pytest.approx(2 * spans[0], rel=0.06)  # 4 m along x, 2 m along y


def test_nothing_to_draw():
    none = np.zeros((0, 7))
    assert not len(colored(picture(np.zeros((0, 4)), none, none), True))
    assert not len(colored(picture(np.zeros((0, 4)), BOX, None), False))


def test_points_are_drawn_within_the_limits():
    points = np.array([[10.0, 0, 1, 0]]) + np.linspace(-0.5, 0.5, 400)[:, None] * [1, 1, 0, 0]
    none = np.zeros((0, 7))
    empty = picture(points + np.array([100, 0, 0, 0]), none, None)
    assert (empty == picture(np.zeros((0, 4)), none, None)).all()
    assert (empty != picture(points, none, None)).any()


def test_corners_are_those_of_mmdet3d(openmmlab):
    from mmdet3d.structures import LiDARInstance3DBoxes

    boxes = torch.randn(20, 7)
    boxes[:, 3:6] = boxes[:, 3:6].abs() + 0.1
    theirs = LiDARInstance3DBoxes(boxes).corners[:, :4, :2].numpy()  # of one face or both
    ours = corners(boxes.numpy())
    for mine, other in zip(ours, theirs, strict=True):
        near = np.linalg.norm(mine[:, None] - other[None], axis=2).min(0)
        np.testing.assert_allclose(near, 0, atol=1e-5)


def test_the_front_is_marked():
    """A line from the middle to the front: more red in the front half."""
    red = colored(picture(np.zeros((0, 4)), BOX, None), True)
    middle = (red[:, 1].min() + red[:, 1].max()) / 2
    assert (red[:, 1] > middle + 5).sum() > 1.2 * (red[:, 1] < middle - 5).sum()
