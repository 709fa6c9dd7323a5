"""model-index.yml and the metafiles: OpenMMLab's format, exact figures."""

from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from dualattn_mm.apis.complexity import Complexity, complexity_of_config

ROOT = Path(__file__).resolve().parents[1]
INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
FILES = {path: yaml.safe_load((ROOT / path).read_text()) for path in INDEX}
MODELS = {model['Name']: model for file in FILES.values() for model in file['Models']}
COLORIZERS = [name for name in MODELS if name.startswith('color_')]


def test_index_names_all_metafiles():
    found = [path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').rglob('metafile.yml')]
    assert sorted(INDEX) == sorted(found)


@pytest.mark.parametrize('name', MODELS)
def test_entry(name):
    model = MODELS[name]
    path = ROOT / model['Config']
    assert path.stem == name
    assert path.is_file()
    if 'Weights' in model:
        assert (ROOT / model['Weights']).is_file()
    [file] = [f for f in FILES.values() if model in f['Models']]
    assert model['In Collection'] in [c['Name'] for c in file['Collections']]


@pytest.mark.parametrize('name', COLORIZERS)
def test_figures_of_colorizers(name):
    cfg = Config.fromfile(ROOT / MODELS[name]['Config'])
    cfg.default_scope = None  # the network alone needs no mmagic
    about = MODELS[name]['Metadata']
    parts, _ = complexity_of_config(cfg)
    assert parts[''] == Complexity(about['Parameters'], about['FLOPs'])
