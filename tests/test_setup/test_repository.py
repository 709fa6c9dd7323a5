"""The files that GitHub and citation managers read."""

import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.fileio import load

from dualattn_mm import __version__

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / '.github'
FORMS = sorted(path for path in GITHUB.glob('ISSUE_TEMPLATE/*.yml') if path.stem != 'config')


@pytest.mark.parametrize(
    ('schema', 'paths'),
    [
        ('github-workflows', sorted(GITHUB.glob('workflows/*.yml'))),
        ('github-issue-forms', FORMS),
        ('github-issue-config', [GITHUB / 'ISSUE_TEMPLATE' / 'config.yml']),
        ('citation-file-format', [ROOT / 'CITATION.cff']),
    ],
)
def test_files_fit_their_schemas(schema, paths):
    pytest.importorskip('check_jsonschema')
    assert paths
    command = [sys.executable, '-m', 'check_jsonschema', '--builtin-schema', f'vendor.{schema}']
    done = subprocess.run([*command, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflow_tests_the_pythons_of_the_metadata():
    tomllib = pytest.importorskip('tomllib')
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']
    named = {line.rpartition(' ')[2] for line in project['classifiers'] if ' :: 3.' in line}
    workflow = load(GITHUB / 'workflows' / 'ci.yml')
    assert set(workflow['jobs']['core']['strategy']['matrix']['python']) == named


def test_citation_and_changelog_name_the_version():
    citation = load(ROOT / 'CITATION.cff', file_format='yaml')
    assert citation['version'] == __version__
    changelog = (ROOT / 'CHANGELOG.md').read_text(encoding='utf-8')
    assert f'\n## [{__version__}] - {citation["date-released"]}\n' in changelog
