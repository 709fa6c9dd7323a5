"""model-index.yml and the metafiles: OpenMMLab's format, and the counts of the reproduction."""

from pathlib import Path

import pytest
import yaml

from projects.reproduction.paper import Network

ROOT = Path(__file__).resolve().parents[3]
INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
FILES = {path: yaml.safe_load((ROOT / path).read_text()) for path in INDEX}
MODELS = {model['Name']: model for file in FILES.values() for model in file['Models']}


def test_index_names_all_metafiles():
    found = [path.relative_to(ROOT).as_posix() for path in (ROOT / 'configs').rglob('metafile.yml')]
    assert sorted(INDEX) == sorted(found)


def test_index_has_a_model_for_each_config_of_the_paper_s_tables(paper):
    rows = [
        row for table in paper.values() for row in table.ours.values() if not row.network.options
    ]
    assert {row.network.config for row in rows} <= {model['Config'] for model in MODELS.values()}


@pytest.mark.parametrize('name', MODELS)
def test_model_names_files_that_exist(name):
    model = MODELS[name]
    assert Path(model['Config']).stem == name
    assert (ROOT / model['Config']).is_file()
    assert (ROOT / model.get('Weights', model['Config'])).is_file()
    (file,) = (f for f in FILES.values() if model in f['Models'])
    assert model['In Collection'] in [c['Name'] for c in file['Collections']]


@pytest.mark.parametrize('name', MODELS)
def test_model_has_its_counts_and_no_results_without_weights(name, paper, openmmlab):
    model = MODELS[name]
    rows = [row.network for table in paper.values() for row in table.ours.values()]
    networks = {network.config: network for network in rows if not network.options}
    counts, _ = networks.get(model['Config'], Network(model['Config'], {}, '')).counts
    assert counts[''] == (model['Metadata']['Parameters'], model['Metadata']['FLOPs'])
    assert 'Weights' in model or 'Results' not in model
