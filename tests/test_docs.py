"""Run the code blocks and commands of the README and the documentation.

Python blocks run here, on small photos, and so do the commands that colorize. A block that needs
more is marked with `<!-- needs: ... -->`: then a config is built where its library is installed,
and a command is parsed by its own tool, which knows every option, config and file.
"""

import argparse
import inspect
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from mmengine.config import Config, ConfigDict
from mmengine.model import PretrainedInit
from mmengine.registry import (
    DATASETS,
    HOOKS,
    METRICS,
    MODELS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    DefaultScope,
)
from mmengine.runner import Runner
from PIL import Image

from dualattn_mm.cli.main import main
from dualattn_mm.utils.configs_dir import find_config

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / 'README.md',
    ROOT / 'CONTRIBUTING.md',
    *sorted((ROOT / 'docs').rglob('*.md')),
    *sorted((ROOT / 'projects').glob('*/README.md')),
]
BLOCK = re.compile(r'(?:<!-- needs: (.*?) -->\n)?```(python|bash)\n(.*?)```', re.DOTALL)
# Launchers, by the tool that they start and the place of the number of processes.
LAUNCHERS = {'dist_train.sh': ('train', 1), 'dist_test.sh': ('test', 2)}
SLURM = {'slurm_train.sh': 'train', 'slurm_test.sh': 'test'}


# Of the parts of a config to which an option can add an argument.
REGISTRIES = (DATASETS, HOOKS, METRICS, MODELS, OPTIM_WRAPPERS, OPTIMIZERS)


class Block(NamedTuple):
    place: str
    needs: str
    language: str
    text: str

    def __str__(self) -> str:
        return self.place


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding='utf-8')
        for match in BLOCK.finditer(text):
            line = text.count('\n', 0, match.start(3))
            place = f'{page.relative_to(ROOT)}:{line}'
            yield Block(place, match[1] or '', match[2], match[3])


BLOCKS = list(blocks())
PYTHON = [block for block in BLOCKS if block.language == 'python']
SHELL = [block for block in BLOCKS if block.language == 'bash']
# Those of the detection pages are built, trained and tested in test_detection, test_detection3d.
CONFIGS = [
    block
    for block in PYTHON
    if block.text.startswith("_base_ = 'mm") and 'docs/detection' not in block.place
]


def commands(block: Block) -> Iterator[list[str]]:
    """The words of every command, without comments, variables that are set, and what follows ;."""
    for line in block.text.replace('\\\n', ' ').splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a part of a program in quotation marks
            continue
        while words and re.fullmatch(r'\w+=.*', words[0]):
            words.pop(0)
        if words:
            yield words


def tool_call(words: list[str]) -> tuple[str, list[str]] | None:
    """What a command calls, a tool of ours by its path or a subcommand, and its arguments."""
    name, *rest = words
    if name == 'dualattn':
        return rest[0], rest[1:]
    if name in ('python', 'python3') and rest and rest[0].startswith(('tools/', 'projects/')):
        return rest[0], [text for word in rest[1:] for text in expanded(word)]
    if name != 'bash' or not rest:
        return None
    launcher, arguments = Path(rest[0]).name, rest[1:]
    if launcher in LAUNCHERS:
        command, place = LAUNCHERS[launcher]
        assert arguments.pop(place).isdecimal()
        return command, arguments
    if launcher in SLURM:
        command, (_, _, *arguments) = SLURM[launcher], arguments
        if command == 'train' and arguments[1:] and not arguments[1].startswith('-'):
            arguments.insert(1, '--work-dir')
        return command, arguments
    return None


def expanded(word: str) -> list[str]:
    """As bash does it for one pair of braces: a_{b,c} becomes a_b and a_c."""
    if found := re.fullmatch(r'(.*)\{(.+,.+)\}(.*)', word):
        before, choices, after = found.groups()
        return [before + choice + after for choice in choices.split(',')]
    return [word]


CALLS = [
    pytest.param(*call, id=f'{block.place} {call[0]}')
    for block in SHELL
    for words in commands(block)
    if (call := tool_call(words))
]


class Parsed(BaseException):
    """Ends a tool as soon as its arguments are parsed."""


@pytest.fixture
def parse(monkeypatch):
    """The arguments of a tool of ours, as its own parser reads them."""
    parse_args = argparse.ArgumentParser.parse_args

    def stop(parser, args=None, namespace=None):
        raise Parsed(parse_args(parser, args, namespace))

    def parse_(tool: str, arguments: list[str]) -> argparse.Namespace:
        monkeypatch.setattr(argparse.ArgumentParser, 'parse_args', stop)
        monkeypatch.setattr(sys, 'argv', [tool, *arguments])
        try:
            if tool.endswith('.py'):
                runpy.run_path(str(ROOT / tool), run_name='__main__')
            else:
                main([tool, *arguments])
        except Parsed as parsed:
            return parsed.args[0]
        pytest.fail(f'{tool} does not accept {arguments}')

    return parse_


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The files that the blocks name, in the current folder."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60), dtype=np.uint8)
    for name in ('old.jpg', 'photos/a.jpg', 'photos/b/c.png', 'scans/a.tif', 'scans/b/c.tif'):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(name)


@pytest.mark.parametrize('block', [b for b in PYTHON if not b.needs], ids=str)
def test_python_block_runs(block, photos):
    names = {}
    exec(compile(block.text, block.place, 'exec'), names)
    if isinstance(names.get('model'), dict):
        MODELS.build(names['model'])


@pytest.mark.parametrize('block', [b for b in PYTHON if b.needs], ids=str)
def test_python_block_that_needs_more_is_valid(block):
    compile(block.text, block.place, 'exec')


@pytest.mark.integration
@pytest.mark.parametrize('block', CONFIGS, ids=str)
def test_config_block_builds_its_model(block, openmmlab, tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(block.text)
    cfg = Config.fromfile(path)
    scope = re.match(r"_base_ = '(\w+)::", block.text)[1]
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(cfg.model)
    kinds = {type(module).__name__ for module in model.modules()}
    assert kinds & {'DualAttention', 'DualAttentionBEV'}


@pytest.mark.parametrize('block', [b for b in SHELL if not b.needs], ids=str)
def test_shell_block_runs(block, photos, capsys):
    for words in commands(block):
        assert words[0] == 'dualattn'
        assert main(words[1:]) == 0, capsys.readouterr().err
        assert '0 failed' in capsys.readouterr().out


@pytest.mark.parametrize(('tool', 'arguments'), CALLS)
def test_command_is_accepted_by_its_tool(tool, arguments, parse):
    args = vars(parse(tool, arguments))
    configs = args.get('configs') or [args.get('config')]
    if not isinstance(configs, list):  # `dualattn info --configs`
        return
    missing = set()
    for config in map(str, filter(None, configs)):
        if config.isupper():  # CONFIG, for any
            continue
        path = find_config(config)
        library = path.parent.name
        # Those of mmagic and of side projects run in the core environment.
        if library != 'mmagic' and 'projects' not in path.parts and find_spec(library) is None:
            missing.add(library)  # which has the base configs
            continue
        cfg = Config.fromfile(path)
        for option in args.get('cfg_options') or ():
            name = option.partition('=')[0]
            assert takes_option(cfg, name), f'{config} has no option {name}'
    if missing:
        pytest.skip(f'not installed: {", ".join(sorted(missing))}')


def takes_option(cfg: Config, option: str) -> bool:
    """Whether an option replaces a value of the config, or adds an argument to one of its parts."""
    *parents, last = option.split('.')
    part = cfg
    for name in parents:
        # Networks complete these two.
        if name == 'init_cfg':
            return last in {'type', *arguments_of(PretrainedInit)}
        if name == 'encoder' and name not in part:
            part = ConfigDict(type='DualAttention')
        elif isinstance(part, list | tuple):
            part = part[int(name)]
        elif name in part:
            part = part[name]
        else:
            return False
    if isinstance(part, list | tuple):
        return int(last) < len(part)
    if last in part:
        return True
    if part is cfg:
        return last in {'classes', *arguments_of(Runner)}  # `engine.run` reads the first
    kinds = [registry.get(part['type']) for registry in REGISTRIES] if 'type' in part else []
    return any(last in arguments_of(kind) for kind in kinds if kind)


def arguments_of(kind: type) -> set[str]:
    """The names of the arguments of a class and of those to which it passes others."""
    names = set()
    for part in kind.__mro__:
        if '__init__' in vars(part):
            own = inspect.signature(part.__init__).parameters
            names |= own.keys()
            if all(value.kind != inspect.Parameter.VAR_KEYWORD for value in own.values()):
                break
    return names


def test_options_that_no_config_has_are_found():
    cfg = Config.fromfile(find_config('mmagic/color_dualattn_mini'))
    assert takes_option(cfg, 'train_dataloader.dataset.ann_file')
    assert takes_option(cfg, 'model.generator.encoder.init_cfg.checkpoint')
    for option in (
        'max_iter',
        'train_cfg.max_iter',
        'train_dataloader.dataset.folder',
        'train_loader.batch_size',
        'model.generator.encoder.init_cfg.file',
        'custom_hooks.9',
    ):
        assert not takes_option(cfg, option), option


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page):
    text = page.read_text(encoding='utf-8')
    named = re.findall(
        r'(?<![\w/])(?:tools|docs|configs|projects|requirements|tests)/[\w/-]+\.\w+\b', text
    )
    linked = re.findall(r'\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)', text)
    paths = [ROOT / name for name in named] + [page.parent / name for name in linked]
    assert not [path for path in paths if not path.exists()]
