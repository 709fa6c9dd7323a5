"""The whole report against the specification's figures, the metafiles and the checked-in files."""

import pytest
import torch
import yaml

from dualattn_mm.apis.complexity import complexity
from dualattn_mm.models import DualAttention
from dualattn_mm.reproduction import render

SIZES = dict(Tiny='t', Small='s', Base='b')


def test_docs_are_up_to_date(reports, root):
    written = (root / 'docs' / 'reproduction.md').read_text()
    assert written == render.markdown(reports), 'the command that makes it stands in its head'


def test_counts_are_those_of_the_metafiles(entries, tables, root):
    models = {}
    for path in yaml.safe_load((root / 'model-index.yml').read_text())['Import']:
        for model in yaml.safe_load((root / path).read_text())['Models']:
            models[model['Config']] = model['Metadata']
    compared = set()
    for table in tables:
        for row in table.rows:
            if row.options or row.config not in models:
                continue
            about = models[row.config]
            for metric, exact in (('params (M)', 'Parameters'), ('MACs (G)', 'FLOPs')):
                if metric not in row.metrics:
                    continue
                unit = 1e6 if exact == 'Parameters' else 1e9
                found = entries[table.name, row.name, metric]
                assert found.value == about[exact] / unit
                assert found.kind == 'computed'
                compared.add(table.name)
    assert compared >= {'II', 'III', 'IV', 'V', 'VII', 'IX', 'X', 'XI', 'XIII', 'Runtime'}


@pytest.mark.parametrize(
    ('key', 'published', 'value', 'status'),
    [
        (('V', 'Dual-Attention-Tiny', 'params (M)'), 28.7, 28.48, 'reproduced'),
        (('V', 'Dual-Attention-Tiny', 'MACs (G)'), 5.3, 5.15, 'reproduced'),
        (('V', 'Dual-Attention-Small', 'params (M)'), 51.2, 46.34, 'not reproducible'),
        (('V', 'Dual-Attention-Small', 'MACs (G)'), 9.1, 8.70, 'not reproducible'),
        (('V', 'Dual-Attention-Base', 'params (M)'), 77.8, 82.02, 'not reproducible'),
        (('V', 'Dual-Attention-Base', 'MACs (G)'), 16.2, 16.54, 'not reproducible'),
        (('IX', 'Dual-Attention-Tiny', 'params (M)'), 27.6, 28.48, 'not reproducible'),
        (('IX', 'Dual-Attention-Tiny', 'MACs (G)'), 15.1, 15.53, 'not reproducible'),
        (('IX', 'Dual-Attention-Small', 'params (M)'), 51.9, 46.34, 'not reproducible'),
        (('IX', 'Dual-Attention-Small', 'MACs (G)'), 27.8, 26.17, 'not reproducible'),
        (('IX', 'Dual-Attention-Base', 'params (M)'), 79.3, 82.02, 'not reproducible'),
        (('IX', 'Dual-Attention-Base', 'MACs (G)'), 53.2, 49.43, 'not reproducible'),
        (('VII', 'Dual-Attention-Tiny', 'params (M)'), 47.5, 47.99, 'reproduced'),
        (('VII', 'Dual-Attention-Small', 'params (M)'), 64.9, 65.85, 'reproduced'),
        (('VII', 'Dual-Attention-Base', 'params (M)'), 99.3, 101.39, 'reproduced'),
        (('VII', 'Dual-Attention-Tiny', 'MACs (G)'), 281, 276.2, 'reproduced'),
        (('VII', 'Dual-Attention-Small', 'MACs (G)'), 369, 348.7, 'not reproducible'),
        (('VII', 'Dual-Attention-Base', 'MACs (G)'), 546, 509.9, 'not reproducible'),
        (('X', 'Dual-Attention-Tiny', 'params (M)'), 87, 85.8, 'not reproducible'),
        (('X', 'Dual-Attention-Tiny', 'MACs (G)'), 417, 709, 'not reproducible'),
        (('X', 'Dual-Attention-Small', 'params (M)'), 123, 103.7, 'not reproducible'),
        (('X', 'Dual-Attention-Small', 'MACs (G)'), 498, 766, 'not reproducible'),
        (('Runtime', 'Colorizer, K = 64', 'params (M)'), 55.2, 55.09, 'reproduced'),
        (('VIII', 'Dual-Attention-Small', 'pairs of stage 3'), 8, 8, 'reproduced'),
    ],
    ids=str,
)
def test_published_beside_computed(entries, key, published, value, status):
    entry = entries[key]
    assert entry.published == published
    assert entry.value == pytest.approx(value, rel=7e-4)
    assert entry.error == pytest.approx(entry.value / published - 1)
    assert entry.status == status
    assert bool(entry.reason) == (status == 'not reproducible')


def test_settings_are_those_of_the_configs(entries):
    found = [entry for (table, _, _), entry in entries.items() if table == 'VI']
    assert len(found) == 13
    assert {entry.status for entry in found} == {'reproduced'}
    rate = entries['VI', '224 x 224', 'learning rate']
    assert (rate.published, rate.value, rate.error) == (5e-4, 5e-4, 0)


def test_what_is_not_measured_says_how(entries):
    waiting = [entry for entry in entries.values() if entry.kind == 'measured']
    assert len(waiting) > 100
    for entry in waiting:
        assert (entry.status, entry.value) == ('not run', None)
        assert bool(entry.command) != bool(entry.reason)
    top1 = entries['V', 'Dual-Attention-Tiny', 'top-1 (%)']
    assert top1.command == (
        'bash tools/dist_train.sh configs/mmpretrain/cls_dualattn_t.py 8 && '
        'bash tools/dist_test.sh configs/mmpretrain/cls_dualattn_t.py '
        'work_dirs/cls_dualattn_t/epoch_300.pth 8 '
        '--out work_dirs/cls_dualattn_t/cls_dualattn_t.json'
    )
    fid = entries['III', 'FCA-DA', 'FID']
    order = "'model.generator.encoder.order=[fca,da]'"
    assert fid.command == (
        'bash tools/dist_train.sh configs/mmagic/color_dualattn_t_q150.py 8 '
        f'--work-dir work_dirs/III_FCA_DA --cfg-options {order} && bash tools/dist_test.sh '
        'configs/mmagic/test_imagenet_val50k.py work_dirs/III_FCA_DA/iter_200000.pth 8 '
        f'--out work_dirs/III_FCA_DA/test_imagenet_val50k.json --cfg-options {order} '
        'model.generator.num_queries=150'
    )


@pytest.mark.parametrize(
    ('table', 'metric', 'config'),
    [
        ('VII', 'box AP', 'mmdet/mask_rcnn_dualattn_s'),
        ('IX', 'top-1 (%)', 'mmpretrain/cls_dualattn_s_384'),
    ],
)
def test_weights_to_start_from_come_first(entries, table, metric, config):
    first = 'bash tools/dist_train.sh configs/mmpretrain/cls_dualattn_s.py 8'
    assert entries[table, 'Dual-Attention-Small', metric].command.startswith(
        f'(test -f work_dirs/cls_dualattn_s/epoch_300.pth || {first}) && '
        f'bash tools/dist_train.sh configs/{config}.py 8 && bash tools/dist_test.sh '
    )


def test_the_memory_is_built_first(entries):
    command = entries['II', 'Dual-Attention + CM', 'FID'].command
    weights, memory = 'work_dirs/cls_dualattn_t/epoch_300.pth', 'data/color_memory.safetensors'
    steps = [
        f'(test -f {weights} || bash tools/dist_train.sh configs/mmpretrain/cls_dualattn_t.py 8)',
        f'(test -f {memory} || python projects/colorformer/build_color_memory.py '
        f'data/imagenet/train -o {memory} --config configs/mmpretrain/cls_dualattn_t.py '
        f'--weights {weights})',
        'bash tools/dist_train.sh configs/mmagic/color_dualattn_t_q150.py 8 --work-dir '
        'work_dirs/II_Dual_Attention_CM --cfg-options model.generator.num_queries=None ',
    ]
    assert command.startswith(' && '.join(steps))
    assert f' model.generator.head.memory={memory} && ' in command


def test_every_row_of_a_network_has_its_size(entries):
    for table in ('II', 'III', 'IV', 'XI', 'XIII'):
        for metric in ('params (M)', 'MACs (G)'):
            found = [e for (t, _, m), e in entries.items() if (t, m) == (table, metric)]
            assert len(found) > 1
            assert all(e.value > 1 and e.status == 'not compared' for e in found)


def test_single_kinds_are_smaller_and_say_so(entries):
    for kind in ('FCA', 'SDA'):
        one, two = (entries['III', name, 'params (M)'] for name in (kind, f'{kind}-{kind}'))
        assert one.value < 0.8 * two.value
        assert 'smaller' in one.note


def test_pairs_that_the_reasons_name():
    """What one pair more in the third stage adds: the arithmetic of what is not reproducible."""

    def count(arch, pairs, shape, window=7):
        stem, widths = (128, 128) if arch == 'b' else (64, 96)
        dims = [widths * 2**i for i in range(4)]
        with torch.device('meta'):
            network = DualAttention(
                dict(embed_dims=dims, depths=(1, 1, pairs, 1), stem_channels=stem),
                window_size=window,
            )
        whole = complexity(network, (3, *shape))['']
        return whole.parameters / 1e6, whole.macs / 1e9

    def pair(arch, shape, window=7):
        fewer, more = (count(arch, pairs, shape, window) for pairs in (8, 9))
        return [b - a for a, b in zip(fewer, more, strict=True)]

    small, base = pair('s', (224, 224)), pair('b', (224, 224))
    assert small == pytest.approx([3.57, 0.71], rel=5e-3)
    assert base == pytest.approx([6.34, 1.25], rel=5e-3)
    assert (9.1 - 5.3) / small[1] == pytest.approx(5.4, abs=0.05)
    assert (51.2 - 28.7) / small[0] == pytest.approx(6.3, abs=0.05)
    assert 46.34 + small[0] == pytest.approx(49.9, abs=0.05)
    assert 46.34 + 2 * small[0] == pytest.approx(53.5, abs=0.05)
    assert 8 - (46.34 - 51.2) / small[0] == pytest.approx(9.4, abs=0.05)
    assert 8 - (82.02 - 77.8) / base[0] == pytest.approx(7.3, abs=0.05)
    assert 8 - (16.54 - 16.2) / base[1] == pytest.approx(7.7, abs=0.05)

    small = pair('s', (384, 384), 12)
    assert small[1] == pytest.approx(2.13, abs=5e-3)
    assert (27.8 - 15.1) / small[1] == pytest.approx(6.0, abs=0.05)
    assert (51.9 - 27.6) / small[0] == pytest.approx(6.8, abs=0.05)
    base = pair('b', (384, 384), 12)
    assert 49.43 + base[1] == pytest.approx(53.2, abs=0.05)
    assert 82.02 + base[0] == pytest.approx(88.4, abs=0.05)
    assert 8 - (82.02 - 79.3) / base[0] == pytest.approx(7.6, abs=0.05)

    small = pair('s', (800, 1280))
    assert small[1] == pytest.approx(14.5, abs=0.05)
    assert (369 - 281) / small[1] == pytest.approx(6.1, abs=0.05)
    assert (64.9 - 47.5) / small[0] == pytest.approx(4.9, abs=0.05)
    base = pair('b', (800, 1280))
    assert base[1] == pytest.approx(25.6, abs=0.05)
    assert (546 - 509.9) / base[1] == pytest.approx(1.4, abs=0.05)
    assert (101.39 - 99.3) / base[0] == pytest.approx(0.3, abs=0.05)
