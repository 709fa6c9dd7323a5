"""Tables III and IV as variants of the config for a small machine."""

import torch
from mmengine.config import DictAction
from mmengine.registry import MODELS

from dualattn_mm.engine.run import read_config
from dualattn_mm.reproduction.tables import choose_tables
from dualattn_mm.reproduction.variants import variants_of
from dualattn_mm.utils.configs_dir import configs_dir

CONFIG = configs_dir() / 'mmagic' / 'ablation_small.py'


def test_rows_that_are_one_network_are_trained_once(tables):
    variants = variants_of(CONFIG, choose_tables(tables, ['iii', 'IV']))
    assert variants[0].name == 'FCA-SDA, K = 150'
    assert [variant.name for variant in variants[-4:]] == [
        'K = 50',
        'K = 100',
        'K = 200',
        'K = 500',
    ]
    assert len(variants) == len({variant.folder for variant in variants}) == 14


def test_the_options_make_the_rows(tables):
    for variant in variants_of(CONFIG, choose_tables(tables, ['III', 'IV'])):
        options = {}
        for option in variant.options:  # as tools/train.py reads them
            name, _, value = option.partition('=')
            options[name] = DictAction._parse_iterable(value)
        cfg = read_config(str(variant.config), options)
        with torch.device('meta'):
            generator = MODELS.build(cfg.model.generator)
        kinds, count = variant.name.partition(',')[0], 150
        if kinds.startswith('K'):
            kinds, count = 'FCA-SDA', int(kinds.split()[-1])
        assert len(generator.head.queries) == count
        (block,) = generator.encoder.stages[0].blocks
        found = [name.rstrip('2').upper() for name, _ in block.named_children()]
        assert found == kinds.split('-')
