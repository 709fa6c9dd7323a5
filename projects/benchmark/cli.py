"""The command line of projects/benchmark/run.py."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import NoReturn

import torch
from rich.console import Console
from rich.table import Table

from dualattn_mm.utils.arguments import natural
from dualattn_mm.utils.atomic import atomic_write_bytes
from dualattn_mm.utils.command import DONE, FAILED, INTERRUPTED, WRONG_USE

from . import gpu, plots
from .machine import describe_machine
from .measure import Effort, Results, measure
from .peers import BEV_CASES, INSTALL, NETWORKS, Case, Network
from .report import as_json, setting_table, sweep, sweep_table
from .step import DTYPES, EXECUTIONS, LAYOUTS, MODES, Setting


def _squares(*sides: int) -> list[Case]:
    return [Case.square(side) for side in sides]


# The defaults for each device. A run takes seconds on a GPU and minutes on a CPU.
_DEFAULTS = {
    'cpu': dict(dtypes=['float32'], layouts=['contiguous'], sizes=_squares(224, 448), warmup=1),
    'cuda': dict(
        dtypes=['float32', 'tf32', 'bfloat16', 'float16'],
        layouts=['contiguous', 'channels_last'],
        sizes=_squares(224, 448, 896, 1792),
        warmup=10,
    ),
}
# Batch sizes for inference and training. The size sweep uses the first one.
_BATCHES = {
    ('backbone', 'cpu'): ([1, 4], [2]),
    ('backbone', 'cuda'): ([1, 32], [32]),
    ('colorizer', 'cpu'): ([1, 2], [2]),
    ('colorizer', 'cuda'): ([1, 16], [16]),
    ('bev', 'cpu'): ([1], [1]),
    ('bev', 'cuda'): ([1, 4], [4]),
    ('detector', 'cpu'): ([1], [1]),
    ('detector', 'cuda'): ([1], [1]),
}
_SIDES = {'backbone': 224, 'colorizer': 256}
_ABOUT = {
    'backbone': 'Backbones without a classifier, from an image to one averaged vector.',
    'colorizer': 'Colorizers, from an image to its color.',
    'bev': "Bird's-eye-view backbones with mmdet3d's SECONDFPN, on the map sizes of its configs.",
    'detector': 'Whole LiDAR detectors with our backbone and with SECOND, from points to boxes.',
    'gpu': 'All of these on a GPU within eight minutes, the most important first, beside their '
    'targets.',
}
_ON_MAPS = ('bev', 'detector')


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f'error: {message} (see --help)\n')


def _size(text: str) -> Case:
    sides = text.split('x')
    if len(sides) > 2:
        raise argparse.ArgumentTypeError(f'{text!r} does not have the form N or HEIGHTxWIDTH')
    return Case.image(natural(sides[0]), natural(sides[-1]))


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of seconds')
    return value


def _parser() -> _Parser:
    parser = _Parser(
        description='Compare the speed and memory of our networks and other installed ones, with '
        'random weights and inputs. The networks take turns in every round, so that changes in the '
        'speed of the machine affect all of them.',
        epilog='Exit status: 0 if something was measured, 1 if nothing could be measured, 2 if an '
        'argument is wrong, 130 if interrupted (completed measurements are saved).',
        allow_abbrev=False,
    )
    tasks = parser.add_subparsers(
        dest='task', required=True, metavar=f'{{{",".join(NETWORKS)},gpu}}'
    )
    for task in NETWORKS:
        _add_options(tasks.add_parser(task, help=_ABOUT[task], description=_ABOUT[task]), task)
    gpu.add_options(tasks.add_parser('gpu', help=_ABOUT['gpu'], description=_ABOUT['gpu']))
    return parser


def _add_options(parser: argparse.ArgumentParser, task: str) -> None:
    add = parser.add_argument
    add('--list', action='store_true', help='list the networks and exit')
    add(
        '--models',
        nargs='+',
        metavar='NAME',
        choices=list(NETWORKS[task]),
        help='networks to measure (default: all; on the CPU all except the large ones)',
    )
    add(
        '--dtypes',
        nargs='+',
        choices=DTYPES,
        help='data types; bfloat16 and float16 use autocast, and with -weights they convert the '
        'weights (inference only); tf32 is float32 with TF32 (default: float32 on the CPU, also '
        'tf32, bfloat16 and float16 on a GPU)',
    )
    if task == 'detector':
        add(
            '--points',
            metavar='FILE',
            help='.bin file of a frame from the dataset of the maps',
        )
        parser.set_defaults(
            modes=['infer'],
            executions=['eager'],
            layouts=['contiguous'],
            batch_sizes=[1],
            train_batch_sizes=[1],
        )
    else:
        _add_ways(parser)
    if task in _ON_MAPS:
        add(
            '--maps',
            nargs='+',
            choices=list(BEV_CASES),
            default=list(BEV_CASES),
            help='maps to measure on (default: all), from '
            + ', '.join(f'{c.name} {c.height} x {c.width}' for c in BEV_CASES.values()),
        )
    else:
        add('--side', type=natural, default=_SIDES[task], help='image side (default: %(default)s)')
        add(
            '--sizes',
            nargs='*',
            type=_size,
            metavar='N',
            help='image sides, or HEIGHTxWIDTH, at which the cost per pixel is also measured, with '
            'the first mode, batch size, type, execution and layout; an empty list skips this '
            '(default: 224 448, on a GPU also 896 1792)',
        )
    add(
        '--device',
        choices=('auto', 'cpu', 'cuda'),
        default='auto',
        help='device (default: %(default)s)',
    )
    add('--threads', type=natural, help="CPU threads (default: torch's choice)")
    add('--repeats', type=natural, default=5, help='number of rounds (default: %(default)s)')
    add('--warmup', type=natural, help='calls before the first round (default: 1, on a GPU 10)')
    add(
        '--min-seconds',
        type=_seconds,
        default=0.2,
        metavar='S',
        help='minimum length of a sample, filled by repeated calls (default: %(default)s)',
    )
    add(
        '-o',
        '--out',
        type=Path,
        metavar='DIR',
        help='folder for results.json and the plots (default: outputs/benchmark/TASK)',
    )


def _add_ways(parser: argparse.ArgumentParser) -> None:
    """Add options for networks that take maps; detectors are only run in a single way."""
    add = parser.add_argument
    add('--modes', nargs='+', choices=MODES, default=list(MODES), help='modes (default: both)')
    add(
        '--executions',
        nargs='+',
        choices=EXECUTIONS,
        default=['eager'],
        help='eager or compiled execution, or a CUDA graph (default: eager)',
    )
    add(
        '--layouts',
        nargs='+',
        choices=LAYOUTS,
        help='memory format of input and weights (default: contiguous, on a GPU also '
        'channels_last)',
    )
    numbers = dict(nargs='+', type=natural, metavar='N')
    add(
        '--batch-sizes',
        **numbers,
        help='images per inference call (default: 1 for latency, and a larger one for throughput)',
    )
    add('--train-batch-sizes', **numbers, help='images per training step')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; None uses `sys.argv`.

    Returns:
        The exit status: 0 if something was measured, 1 if nothing could be measured, 2 for wrong
        usage, 130 if interrupted.

    Raises:
        SystemExit: raised by argparse, with status 2 for wrong arguments and 0 for --help.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    args = parser.parse_args(argv)
    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    if args.task == 'gpu':
        if not args.dry and not torch.cuda.is_available():
            parser.error('torch finds no CUDA device: use --dry')
        for file in filter(None, (args.kitti, args.nuscenes)):
            if not Path(file).is_file():
                parser.error(f'the frame {file} does not exist')
        _make_folder(parser, args, 'gpu_dry' if args.dry else 'gpu')
        return gpu.run(args, argv, _say)
    if args.list:
        console.print(_list(NETWORKS[args.task]))
        return DONE
    if args.task == 'detector' and not args.points:
        parser.error('pass the frame to measure on: --points FILE')
    if args.device == 'cuda' and not torch.cuda.is_available():
        parser.error('torch finds no CUDA device: use --device cpu')
    if args.device == 'cpu' or not torch.cuda.is_available():
        only = {'tf32', 'graph'} & {*(args.dtypes or ()), *args.executions}
        if only:
            parser.error(f'{only.pop()} needs a CUDA device')
    _make_folder(parser, args, args.task)
    return _run(args, argv, console, args.out)


def _make_folder(parser: _Parser, args: argparse.Namespace, name: str) -> None:
    args.out = args.out or Path('outputs/benchmark') / name
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f'cannot create the folder {args.out}: {error.strerror}')


def _list(networks: dict[str, Network]) -> Table:
    table = Table()
    for title in ('network', 'what', 'compared with', 'package'):
        table.add_column(title, no_wrap=title != 'what')
    for n in networks.values():
        package = n.package + ('' if n.installed else ' (missing)')
        table.add_row(n.name, n.about, '' if n.name == n.against else n.against, package)
    return table


def _run(args: argparse.Namespace, argv: list[str], console: Console, out: Path) -> int:
    device = torch.device(
        args.device if args.device != 'auto' else 'cuda' if torch.cuda.is_available() else 'cpu'
    )
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True  # sizes are fixed, so cuDNN can choose by measuring
    for name, value in _DEFAULTS[device.type].items():
        if getattr(args, name, None) is None:
            setattr(args, name, value)
    infer_batches, train_batches = _BATCHES[args.task, device.type]
    batches = {
        'infer': args.batch_sizes or infer_batches,
        'train': args.train_batch_sizes or train_batches,
    }
    settings, first = _settings(args, batches)
    networks = _networks(args, device)
    effort = Effort(args.repeats, args.warmup, args.min_seconds)
    about = dict(
        task=args.task,
        command=['projects/benchmark/run.py', *argv],
        started=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        machine=describe_machine(device),
    )
    machine = about['machine']
    where = f'{machine.get("gpu", machine["cpu"])}, torch {torch.__version__}' + (
        f', threads: {torch.get_num_threads()}' if device.type == 'cpu' else ''
    )
    console.print(where, highlight=False)
    results = Results()
    status = DONE
    try:
        for setting in settings:
            measured = measure(networks, setting, effort, device, results, _say)
            if measured:
                console.print(setting_table(measured))
    except KeyboardInterrupt:
        _say('interrupted: the completed measurements are saved')
        status = INTERRUPTED
    if not results.measurements:
        _say('nothing was measured')
        return status or FAILED
    atomic_write_bytes(out / 'results.json', as_json(results, about).encode())
    title = f'{args.task}: {where}'
    cases = [case.name for case in _cases(args)]
    shown = [m for m in results.measurements if m.setting.case.name in cases]
    if shown:
        atomic_write_bytes(out / 'throughput.png', plots.throughput(shown, title))
    by_network = sweep(results.measurements, first) if args.task not in _ON_MAPS else {}
    if by_network:
        console.print(sweep_table(by_network, first))
        atomic_write_bytes(out / 'cost_vs_size.png', plots.cost_against_size(by_network, title))
    console.print(f'-> {out}', highlight=False)
    return status


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _cases(args: argparse.Namespace) -> list[Case]:
    if args.task in _ON_MAPS:
        points = getattr(args, 'points', '')
        return [replace(BEV_CASES[name], points=points) for name in args.maps]
    return [Case.square(args.side)]


def _settings(
    args: argparse.Namespace, batches: dict[str, list[int]]
) -> tuple[list[Setting], Setting]:
    """Return all settings in the order of measurement, and the setting of the size sweep."""
    cases = _cases(args)
    settings = [
        Setting(case, mode, dtype, execution, layout, batch)
        for case in cases
        for mode in args.modes
        for dtype in args.dtypes
        for execution in args.executions
        for layout in args.layouts
        for batch in batches[mode]
    ]
    first = Setting(
        cases[0],
        args.modes[0],
        args.dtypes[0],
        args.executions[0],
        args.layouts[0],
        batches[args.modes[0]][0],
    )
    sizes = sorted(args.sizes, key=lambda case: case.pixels) if args.task not in _ON_MAPS else []
    settings += [replace(first, case=case) for case in sizes]
    return list(dict.fromkeys(settings)), first


def _networks(args: argparse.Namespace, device: torch.device) -> list[Network]:
    """Return the requested networks that are installed, and print what to install for others."""
    known = NETWORKS[args.task]
    if args.models:
        wanted = [known[name] for name in dict.fromkeys(args.models)]
    else:
        wanted = [n for n in known.values() if device.type != 'cpu' or not n.large]
    for package in dict.fromkeys(n.package for n in wanted if not n.installed):
        names = ', '.join(n.name for n in wanted if n.package == package)
        _say(f'{package} is not installed ({INSTALL[package]}): skipping {names}')
    return [n for n in wanted if n.installed]
