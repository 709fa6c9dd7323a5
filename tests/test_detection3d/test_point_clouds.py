"""Empty and damaged point clouds give an empty result or a one-line error."""

import pytest
import torch
from lidar import cloud, frame, prepared

from dualattn_mm.utils.errors import UserError

CAR = [3.9, 1.6, 1.56]
NAN = float('nan')


def limits_of(model):
    return list(model.data_preprocessor.voxel_layer.point_cloud_range)


def predict(model, *clouds):
    samples = [frame(limits_of(model), CAR, 2, 7) for _ in clouds]
    with torch.no_grad():
        results = model(**prepared(model, list(clouds), samples, False), mode='predict')
    return [result.pred_instances_3d for result in results]


def loss(model, *clouds):
    samples = [frame(limits_of(model), CAR, 2, 7) for _ in clouds]
    losses = model(**prepared(model, list(clouds), samples, True), mode='loss')
    total, _ = model.parse_losses(losses)
    return total


@pytest.fixture
def good(narrow):
    return cloud(limits_of(narrow), 300, 4)


@pytest.fixture
def eager(narrow, monkeypatch):
    """A network that detects objects everywhere."""
    monkeypatch.setitem(narrow.bbox_head.test_cfg, 'score_thr', 0.0)
    return narrow


NOTHING = {
    'empty': lambda points: points[:0],
    'outside': lambda points: points + 1000,
    'below': lambda points: points - torch.tensor([0, 0, 50, 0]),
    'no numbers': lambda points: torch.full_like(points, NAN),
    'infinite': lambda points: points / 0,
    'no intensity': lambda points: points * torch.tensor([1, 1, 1, NAN]),
}


@pytest.mark.parametrize('kind', NOTHING)
@pytest.mark.parametrize('place', [0, 1])
def test_nothing_is_found_in_nothing_beside_a_good_frame(eager, good, kind, place):
    clouds = [good, good]
    clouds[place] = NOTHING[kind](good)
    results = predict(eager, *clouds)
    assert len(results[place]) == 0
    assert results[place].bboxes_3d.tensor.shape == (0, 7)
    [alone] = predict(eager, good)
    torch.testing.assert_close(results[1 - place].scores_3d, alone.scores_3d)
    assert len(alone) > 0


@pytest.mark.parametrize('kind', NOTHING)
def test_mmcv_never_gets_a_cloud_of_no_points(eager, good, kind, monkeypatch):
    """Its CUDA kernel cannot be started for one."""
    layer, counts = eager.data_preprocessor.voxel_layer, []
    forward = type(layer).forward
    monkeypatch.setattr(
        type(layer), 'forward', lambda self, x: counts.append(len(x)) or forward(self, x)
    )
    predict(eager, good, NOTHING[kind](good))
    assert len(counts) >= 2
    assert min(counts) > 0


@pytest.mark.parametrize('kind', ['empty', 'outside'])
def test_nothing_alone(eager, good, kind):
    [result] = predict(eager, NOTHING[kind](good))
    assert len(result) == 0


def test_one_point_is_enough_for_a_result(narrow, good):
    [result] = predict(narrow, good[:1])
    assert torch.isfinite(result.bboxes_3d.tensor).all()


def test_points_that_are_no_numbers_are_left_out(eager, good):
    damaged = good.clone()
    damaged[::7, 0], damaged[1::7, 3], damaged[2::7, 2] = NAN, NAN, float('inf')
    kept = good[torch.arange(len(good)) % 7 > 2]
    [of_damaged], [of_kept] = predict(eager, damaged), predict(eager, kept)
    torch.testing.assert_close(of_damaged.scores_3d, of_kept.scores_3d)
    torch.testing.assert_close(of_damaged.bboxes_3d.tensor, of_kept.bboxes_3d.tensor)


def test_training_with_an_empty_frame_stays_finite(narrow, good):
    damaged = good.clone()
    damaged[::2, 1] = NAN
    for other in (good[:0], good + 1000, damaged):
        assert torch.isfinite(loss(narrow, good, other))
    assert all(buffer.isfinite().all() for buffer in narrow.buffers())


@pytest.mark.parametrize('points', [0, 1])
def test_too_little_to_train_on(narrow, good, points):
    with pytest.raises(UserError, match=f'a batch of 1 frames has {points} voxels, too few'):
        loss(narrow, good[:points])


@pytest.mark.parametrize('features', [3, 5])
def test_wrong_number_of_features(narrow, features):
    with pytest.raises(
        UserError, match=f'points have {features} features, but the model expects 4'
    ):
        predict(narrow, cloud(limits_of(narrow), 10, features))
