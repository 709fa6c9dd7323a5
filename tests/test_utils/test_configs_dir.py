from pathlib import Path

import pytest

from dualattn_mm.utils.configs_dir import config_names, configs_dir, find_config
from dualattn_mm.utils.errors import RunError

MINI = 'mmagic/color_dualattn_mini'


def test_names_are_those_of_files():
    names = config_names()
    assert MINI in names
    assert 'mmdet/cascade_dualattn_s' in names
    assert not [name for name in names if name.startswith('_base_')]
    assert all((configs_dir() / f'{name}.py').is_file() for name in names)


@pytest.mark.parametrize('form', ['{}', '{}.py', 'configs/{}.py', 'configs/{}'])
def test_find_config_by_name(tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    assert find_config(form.format(MINI)) == configs_dir() / f'{MINI}.py'


def test_a_file_goes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(MINI).parent.mkdir()
    Path(f'{MINI}.py').write_text('')
    assert find_config(f'{MINI}.py') == Path(f'{MINI}.py')


@pytest.mark.parametrize(
    ('name', 'hint'),
    [
        ('color_dualattn_mini', 'did you mean mmagic/color_dualattn_mini?'),
        ('work/color_dualattn_mini.py', 'did you mean mmagic/color_dualattn_mini?'),
        ('mmdet/cascade_dualattn', 'did you mean mmdet/cascade_dualattn_'),
        ('resnet', "'dualattn info --configs'"),
        ('../mmagic', "'dualattn info --configs'"),
    ],
)
def test_find_config_error_suggests_close_names(tmp_path, monkeypatch, name, hint):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError) as error:
        find_config(name)
    assert str(error.value).startswith(
        f'{name} is neither a config file nor the name of a bundled config'
    )
    assert hint in str(error.value)
