"""The config in a checkpoint is read, and nothing in it is executed."""

import pytest
from mmengine.config import Config

from dualattn_mm.utils.stored_config import stored_model


def test_text_of_mmengine():
    model = dict(
        type='A',
        backbone=dict(fca_scale='group', depths=[1, 2], order=('sda', 'fca'), init_cfg=None),
        heads=[dict(num_classes=3), {'a-b': 1.5, '3': True}],
    )
    text = Config(dict(x=1, model=model, data=dict(model=2))).pretty_text
    read = stored_model(dict(cfg=text))
    assert list(read['backbone'].pop('order')) == ['sda', 'fca']
    del model['backbone']['order']
    assert read == model


@pytest.mark.parametrize(
    'text',
    [
        None,
        5,
        '',
        'model = ',
        'model = 3',
        'x = model = dict()',
        'a, b = 1, 2',
        'model = dict({[1]: 2, **{}}, 3)',
        'model = open("x")',
        'model = ' + '(' * 9999,
        'model = ' + 'dict(a=' * 150 + ')' * 150,
        '\0',
    ],
)
def test_other_texts_have_no_model(text):
    assert not any(stored_model(dict(cfg=text)).get(name) for name in 'bc')


def test_nothing_is_executed(tmp_path):
    path = tmp_path / 'made'
    text = f'model = dict(a=open({str(path)!r}, "w"), b=dict(c=__import__("os")), **dict(d=1))'
    read = stored_model(dict(cfg=text))
    assert not path.exists()
    assert (read['a'], read['b']) == (None, dict(c=None))
