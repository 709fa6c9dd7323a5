"""The encoder: its arguments, from Python and from config files."""

import pytest
import torch
from mmengine import Config
from mmengine.registry import MODELS
from small_encoder import ARCH, small


def test_builds_from_a_config_file_with_lists(tmp_path):
    (tmp_path / 'model.py').write_text(
        "model = dict(type='DualAttention', arch=dict(embed_dims=[8, 16], depths=[1, 2],"
        " stem_channels=4), head_dim=8, group_dim=8, order=['fca', 'sda'], out_indices=[0, 1])\n"
    )
    for suffix in ('.py', '.json', '.yaml'):
        Config.fromfile(tmp_path / 'model.py').dump(tmp_path / f'again{suffix}')
        model = MODELS.build(Config.fromfile(tmp_path / f'again{suffix}').model)
        assert [tuple(out.shape) for out in model(torch.randn(1, 3, 33, 47))] == [
            (1, 8, 9, 12),
            (1, 16, 5, 6),
        ]


def arch_with(**kwargs):
    return dict(arch={**ARCH, **kwargs})


@pytest.mark.parametrize(
    ('kwargs', 'said'),
    [
        (dict(arch='huge'), ['arch', 'huge', 'tiny', 'small', 'base']),
        (dict(arch=3), ['arch', '3', 'tiny', 'embed_dims']),
        (dict(arch=None), ['arch', 'None', 'tiny', 'embed_dims']),
        (dict(arch=dict(embed_dims=(8,))), ['arch', 'embed_dims', 'depths', 'stem_channels']),
        (arch_with(dropout=0.1), ['arch', 'dropout', 'embed_dims', 'depths', 'stem_channels']),
        (arch_with(depths=(1, 1)), ['arch', 'depths', '(1, 1)']),
        (arch_with(depths=(1, 1, 0, 1)), ['arch', 'depths', '(1, 1, 0, 1)']),
        (arch_with(depths=2), ['arch', 'depths', '2']),
        (arch_with(depths='1111'), ['arch', 'depths', '1111']),
        (arch_with(embed_dims=(8, 8.5, 8, 8)), ['arch', 'embed_dims', '8.5']),
        (arch_with(stem_channels=0), ['arch', 'stem_channels', '0']),
        (dict(in_channels=0), ['in_channels', '0']),
        (dict(in_channels='3'), ['in_channels', "'3'"]),
        (dict(window_size=0), ['window_size', '0']),
        (dict(window_size=7.0), ['window_size', '7.0']),
        (dict(window_size=(7, 7)), ['window_size', '(7, 7)']),
        (dict(head_dim=5), ['head_dim', '5', 'embed_dim', '8']),
        (dict(head_dim=-4), ['head_dim', '-4']),
        (dict(group_dim=16), ['group_dim', '16', 'embed_dim', '8']),
        (dict(group_dim=0), ['group_dim', '0']),
        (dict(order=()), ['order', '()', 'sda', 'fca', 'da', 'ca']),
        (dict(order='sda'), ['order', 'sda', 'sequence']),
        (dict(order=('sda', 'mha')), ['order', 'mha', 'sda', 'fca', 'da', 'ca']),
        (dict(order=(['sda'],)), ['order', "['sda']", 'fca']),
        (dict(order=None), ['order', 'None']),
        (dict(mlp_ratio=0), ['mlp_ratio', '0']),
        (dict(mlp_ratio='4'), ['mlp_ratio', "'4'"]),
        (dict(fca_scale='sqrt'), ['fca_scale', 'sqrt', 'channel', 'group', 'tokens']),
        (dict(fca_scale=None), ['fca_scale', 'None', 'channel', 'group', 'tokens']),
        (dict(drop_path_rate=1.0), ['drop_path_rate', '1.0', '[0, 1)']),
        (dict(drop_path_rate=-0.1), ['drop_path_rate', '-0.1']),
        (dict(drop_path_rate=float('nan')), ['drop_path_rate', 'nan']),
        (dict(drop_path_rate='0.1'), ['drop_path_rate', "'0.1'"]),
        (dict(out_indices=()), ['out_indices', '()', '0', '3']),
        (dict(out_indices='3'), ['out_indices', "'3'", 'sequence']),
        (dict(out_indices=(0, 4)), ['out_indices', '(0, 4)', '3']),
        (dict(out_indices=(-5,)), ['out_indices', '(-5,)', '0', '3']),
        (dict(out_indices=(-1, 0)), ['out_indices', '(3, 0)', 'increasing']),
        (dict(out_indices=(3, -1)), ['out_indices', '(3, 3)', 'increasing']),
        (dict(out_indices=(1, 1)), ['out_indices', '(1, 1)']),
        (dict(out_indices=([0], 1)), ['out_indices', '([0], 1)']),
        (dict(frozen_stages=5), ['frozen_stages', '5', '-1', '4']),
        (dict(frozen_stages=-2), ['frozen_stages', '-2', '-1', '4']),
        (dict(frozen_stages=True), ['frozen_stages', 'True', '-1', '4']),
        (dict(frozen_stages=1.0), ['frozen_stages', '1.0', '-1', '4']),
        (dict(frozen_stages=None), ['frozen_stages', 'None', '-1', '4']),
    ],
    ids=str,
)
def test_wrong_argument_error_names_value_and_allowed_values(kwargs, said):
    with pytest.raises(ValueError) as info:  # noqa: PT011 (the words are checked below)
        small(**kwargs)
    assert not [word for word in said if word not in str(info.value)]
