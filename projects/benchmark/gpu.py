"""Measure everything that needs a GPU within a few minutes: projects/benchmark/run.py gpu."""

import argparse
import dataclasses
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dualattn_mm.utils.arguments import natural
from dualattn_mm.utils.atomic import atomic_write_bytes
from dualattn_mm.utils.command import DONE, FAILED, INTERRUPTED
from dualattn_mm.utils.report import write_json

from . import plots
from .aims import Verdict, judge
from .frames import kitti_frame, nuscenes_frame
from .machine import describe_machine
from .measure import Effort, Results, measure
from .peers import BEV_CASES, NETWORKS, Case, Network
from .precompile import CORES_PER_PROCESS, Job, precompile
from .report import markdown_table, measurements_table
from .step import Setting

SECONDS = 480
_AROUND = 25.0  # seconds for imports before and plots after the measurements
_EFFORT = Effort(repeats=7, warmup=3, min_seconds=0.04, count=False)
_DRY_EFFORT = Effort(repeats=1, warmup=0, min_seconds=0, count=False, memory=False, backend='eager')
_DRY_SCALE, _DRY_MULTIPLE, _DRY_BATCH = 7, 32, 2

# The title and the task of each table. Results are kept by these subjects.
SUBJECTS = {
    'backbone': ('Backbones', 'backbone'),
    'sizes': ('Backbones, cost against size', 'backbone'),
    'colorizer': ('Colorizers', 'colorizer'),
    'bev': ("Bird's-eye view: backbone and neck", 'bev'),
    'detector': ("Bird's-eye view: whole detectors, from points to boxes", 'detector'),
}


@dataclass(frozen=True)
class Section:
    """A part of the run.

    Args:
        subject: key of SUBJECTS.
        networks: keys of NETWORKS.
        settings: how to run them, the most important one first.
        seconds: its share of the time. What a section leaves goes to the next ones.
    """

    subject: str
    networks: tuple[str, ...]
    settings: tuple[Setting, ...]
    seconds: float

    @property
    def task(self) -> str:
        return SUBJECTS[self.subject][1]

    @property
    def compiled(self) -> bool:
        return any(setting.execution == 'compile' for setting in self.settings)


def _family(size: str) -> tuple[str, ...]:
    ours = f'dualattn_{size}'
    return (ours, *(f'timm_{name}_{size}' for name in ('davit', 'swin', 'maxvit', 'convnext')))


def _settings(
    cases: Iterable[Case], *ways: tuple[str, str, str, int], layout: str = 'usual'
) -> tuple[Setting, ...]:
    """Return all combinations of cases and (mode, data type, execution, batch size)."""
    return tuple(
        Setting(case, mode, dtype, execution, layout, batch)
        for (mode, dtype, execution, batch), case in product(ways, cases)
    )


_IMAGE, _PHOTO = [Case.square(224)], [Case.square(256)]
_KITTI, _VOXELS, _MAPS = (
    [BEV_CASES['kitti']],
    [BEV_CASES['voxel01'], BEV_CASES['voxel0075']],
    list(BEV_CASES.values()),
)
_COLORIZERS = ('mpt', 'ddcolor_tiny', 'ddcolor_large', 'mpt_mini')
_BEV = ('dualattn_bev', 'second', 'dualattn_bev_folded', 'second_folded')
_BOTH = ('dualattn_bev', 'second')
_TOKENS = 64 * 224**2  # pixels per call at every size, which fill the GPU

PLAN = (
    Section(
        'backbone',
        _family('tiny'),
        _settings(
            _IMAGE,
            ('infer', 'bfloat16-weights', 'eager', 128),
            ('train', 'bfloat16', 'eager', 128),
            ('infer', 'bfloat16-weights', 'eager', 1),
            ('infer', 'bfloat16-weights', 'graph', 1),
            ('infer', 'tf32', 'eager', 128),
            ('train', 'tf32', 'eager', 128),
            ('infer', 'tf32', 'eager', 1),
            ('infer', 'tf32', 'graph', 1),
        ),
        70,
    ),
    Section(
        'bev',
        _BEV,
        _settings(
            _MAPS,
            ('infer', 'float32', 'eager', 1),
            ('infer', 'float16', 'eager', 1),
            ('infer', 'tf32', 'eager', 1),
            ('infer', 'float16', 'graph', 1),
        ),
        65,
    ),
    Section(
        'colorizer',
        _COLORIZERS,
        _settings(
            _PHOTO,
            ('infer', 'float32', 'eager', 1),
            ('infer', 'float32', 'eager', 16),
            ('infer', 'bfloat16', 'eager', 1),
            ('infer', 'bfloat16', 'eager', 16),
            ('infer', 'bfloat16', 'graph', 1),
            ('infer', 'float32', 'graph', 1),
            ('train', 'bfloat16', 'eager', 16),
        ),
        45,
    ),
    Section(
        'sizes',
        ('dualattn_tiny', 'timm_davit_tiny', 'timm_vit_small'),
        tuple(
            Setting(
                Case.square(side),
                'infer',
                'bfloat16-weights',
                'eager',
                'usual',
                _TOKENS // side**2,
            )
            for side in (224, 1792, 448, 896)
        ),
        20,
    ),
    Section('detector', _BOTH, _settings(_MAPS, ('infer', 'float32', 'eager', 1)), 35),
    # Everything that is compiled, after all of it was compiled in parallel.
    Section(
        'backbone',
        _family('tiny'),
        _settings(
            _IMAGE,
            ('train', 'bfloat16', 'compile', 128),
            ('infer', 'bfloat16-weights', 'compile', 128),
        ),
        70,
    ),
    Section(
        'detector',
        _BOTH,
        _settings(_MAPS, ('infer', 'float16', 'compile', 1), ('infer', 'float16', 'eager', 1)),
        30,
    ),
    Section(
        'bev',
        _BEV,
        _settings(_KITTI, ('infer', 'float32', 'compile', 1), ('infer', 'float16', 'compile', 1)),
        15,
    ),
    Section(
        'colorizer',
        _COLORIZERS,
        _settings(_PHOTO, ('infer', 'bfloat16', 'compile', 16)),
        15,
    ),
    Section(
        'backbone',
        _family('small'),
        _settings(
            _IMAGE,
            ('infer', 'bfloat16-weights', 'eager', 128),
            ('train', 'bfloat16', 'eager', 128),
        ),
        10,
    ),
    Section(
        'backbone',
        _family('base'),
        _settings(
            _IMAGE,
            ('infer', 'bfloat16-weights', 'eager', 128),
            ('train', 'bfloat16', 'eager', 128),
        ),
        10,
    ),
    Section(
        'backbone',
        _family('tiny'),
        _settings(_IMAGE, ('infer', 'bfloat16-weights', 'compile', 1)),
        10,
    ),
    Section(
        'bev',
        _BEV,
        (
            *_settings(_VOXELS, ('infer', 'float16', 'compile', 1)),
            *_settings(_KITTI, ('infer', 'float16', 'eager', 1), layout='channels_last'),
        ),
        10,
    ),
)
_COMPILING = 75.0  # the share of compiling in parallel, before the first compiled section


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add(
        '--dry',
        action='store_true',
        help='run every step on the CPU with tiny inputs and without the large networks; the '
        'figures mean nothing',
    )
    add(
        '--seconds',
        type=natural,
        default=SECONDS,
        help='time for everything; what does not fit is skipped (default: %(default)s)',
    )
    for name, about in (('kitti', 'KITTI'), ('nuscenes', 'nuScenes with its sweeps')):
        add(
            f'--{name}',
            metavar='FILE',
            help=f'.bin file of a frame of {about} for the detectors (default: a synthetic one)',
        )
    add(
        '-o',
        '--out',
        type=Path,
        metavar='DIR',
        help='folder for results.json, tables.md and plots (default: outputs/benchmark/gpu, with '
        '--dry gpu_dry)',
    )


def shrunk(section: Section) -> Section:
    """Return a section with small images, maps and batches, for a dry run."""

    def small(side: int) -> int:
        return max(_DRY_MULTIPLE, side // _DRY_SCALE // _DRY_MULTIPLE * _DRY_MULTIPLE)

    def shrink(setting: Setting) -> Setting:
        case = replace(setting.case, height=small(setting.case.height))
        case = replace(case, width=small(case.width))
        if section.task != 'bev':
            case = replace(case, name=Case.image(case.height, case.width).name)
        return replace(setting, case=case, batch_size=min(setting.batch_size, _DRY_BATCH))

    if section.subject == 'detector':
        # Detectors keep the size of their maps, for which most CPUs take minutes in 16 bits.
        kept = [s for s in section.settings if s.case.name == 'kitti']
        return replace(section, settings=tuple(replace(s, dtype='float32') for s in kept))
    return replace(section, settings=tuple(shrink(setting) for setting in section.settings))


class Run:
    """The state of a run; `save` writes it.

    Args:
        out: the folder of the results.
        dry: whether to shrink everything to run on the CPU.
        seconds: the time for everything, from now on.
        about: describes the run in results.json.
        say: called with one line about what is done or skipped.
    """

    def __init__(
        self,
        out: Path,
        dry: bool,
        seconds: float,
        about: dict[str, Any],
        say: Callable[[str], None],
    ) -> None:
        self.out, self.dry, self.about, self.say = out, dry, about, say
        self.device = torch.device('cpu' if dry else 'cuda')
        self.effort = _DRY_EFFORT if dry else _EFFORT
        self.start = time.monotonic()
        self.end = math.inf if dry else self.start + seconds - _AROUND
        self.results = {subject: Results() for subject in SUBJECTS}
        self.compiled: list[dict[str, Any]] = []
        self.skipped: list[str] = []

    def measure_all(self, plan: Sequence[Section]) -> None:
        """Measure the sections in turn; what a section leaves of its share goes to the next."""
        total = sum(section.seconds for section in plan) + _COMPILING
        share = 0.0
        compiling = [section for section in plan if section.compiled]
        for section in plan:
            if section in compiling[:1]:
                share += _COMPILING
                self._compile(compiling, self._deadline(share / total))
            share += section.seconds
            deadline = self._deadline(share / total)
            for setting in section.settings:
                self._measure(section, setting, deadline)

    def _networks(self, section: Section) -> list[Network]:
        networks = [NETWORKS[section.task][name] for name in section.networks]
        return [network for network in networks if not (self.dry and network.large)]

    def _deadline(self, fraction: float) -> float:
        if self.dry:
            return math.inf
        return self.start + fraction * (self.end - self.start)

    def _compile(self, sections: Iterable[Section], deadline: float) -> None:
        jobs = [
            Job(section.task, network.name, setting, self.device.type, self.effort.backend)
            for section in sections
            for setting in section.settings
            if setting.execution == 'compile'
            for network in self._networks(section)
        ]
        if time.monotonic() > deadline:
            return
        workers = 0 if self.dry else max(1, (os.cpu_count() or 1) // CORES_PER_PROCESS)
        for job, seconds, failure in precompile(jobs, workers, deadline, self.say):
            self.compiled.append(
                dict(
                    task=job.task,
                    network=job.network,
                    setting=str(job.setting),
                    seconds=seconds,
                    failure=failure,
                )
            )
        self.save()

    def _measure(self, section: Section, setting: Setting, deadline: float) -> None:
        if time.monotonic() > deadline:
            line = f'{section.subject}, {setting}: {", ".join(section.networks)}'
            self.skipped.append(line)
            self.say(f'no time left for {line}')
            return
        effort = replace(self.effort, deadline=deadline)
        results = self.results[section.subject]
        measure(self._networks(section), setting, effort, self.device, results, self.say)
        self.say(f'{time.monotonic() - self.start:4.0f} s: {section.subject}, {setting}')
        self.save()

    def save(self) -> None:
        """Write results.json and tables.md."""
        verdicts = judge(self.results)
        write_json(
            self.out / 'results.json',
            dict(
                self.about,
                seconds=time.monotonic() - self.start,
                aims=[dataclasses.asdict(verdict) for verdict in verdicts],
                subjects={
                    name: dataclasses.asdict(result) for name, result in self.results.items()
                },
                compiled=self.compiled,
                skipped=self.skipped,
            ),
        )
        atomic_write_bytes(self.out / 'tables.md', self._tables(verdicts).encode())

    def _tables(self, verdicts: Iterable[Verdict]) -> str:
        machine = self.about['machine']
        where = f'{machine.get("gpu", machine["cpu"])}, torch {torch.__version__}, '
        parts = [f'{where}{self.about["started"]}\n']
        if self.dry:
            parts.append('A dry run on the CPU with tiny inputs: the figures mean nothing.\n')
        rows = [(v.aim, v.setting or '-', _figure(v.figure), _WORDS[v.met]) for v in verdicts]
        parts.append('## Targets\n')
        parts.append(markdown_table(('target', 'setting', 'measured', ''), rows))
        for subject, (title, _) in SUBJECTS.items():
            result = self.results[subject]
            parts.append(f'## {title}\n')
            if result.measurements:
                parts.append(measurements_table(result.measurements))
            parts += [
                f'- {left["network"]} ({left["setting"]}): {left["reason"]}'
                for left in result.left_out
            ]
        if self.skipped:
            parts.append('## No time left\n')
            parts += [f'- {line}' for line in self.skipped]
        return '\n'.join(parts) + '\n'

    def plot(self) -> None:
        """Write the plots."""
        title = self.about['machine'].get('gpu', 'dry run')
        for subject, result in self.results.items():
            if result.measurements and subject != 'sizes':
                data = plots.throughput(result.measurements, f'{subject}: {title}')
                atomic_write_bytes(self.out / f'{subject}.png', data)
        by_network: dict[str, list] = {}
        for m in sorted(self.results['sizes'].measurements, key=lambda m: m.setting.case.pixels):
            by_network.setdefault(m.network, []).append(m)
        if by_network:
            data = plots.cost_against_size(by_network, f'cost against size: {title}')
            atomic_write_bytes(self.out / 'sizes.png', data)


_WORDS = {True: 'met', False: '**not met**', None: 'not measured'}


def _figure(values: Sequence[float]) -> str:
    if len(values) == 3:
        return '{1:.2f} ({0:.2f} to {2:.2f})'.format(*values)
    return ''.join(f'{value:.2f}' for value in values)


def _with_points(plan: Sequence[Section], files: dict[str, str]) -> list[Section]:
    """Return the plan with the frame of each detector."""
    return [
        replace(
            section,
            settings=tuple(
                replace(s, case=replace(s.case, points=files[s.case.name]))
                for s in section.settings
            ),
        )
        if section.subject == 'detector'
        else section
        for section in plan
    ]


def run(args: argparse.Namespace, argv: Sequence[str], say: Callable[[str], None]) -> int:
    """Run the command with its parsed options.

    Args:
        args: see `add_options`; `out` is an existing folder.
        argv: the arguments, for results.json.
        say: called with one line at a time.

    Returns:
        The exit status.
    """
    torch.backends.cudnn.benchmark = True  # sizes are fixed, so cuDNN can choose by measuring
    about = dict(
        command=['projects/benchmark/run.py', *argv],
        started=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        machine=describe_machine(torch.device('cpu' if args.dry else 'cuda')),
        dry=args.dry,
        points={'kitti': args.kitti or 'synthetic', 'nuscenes': args.nuscenes or 'synthetic'},
    )
    state = Run(args.out, args.dry, args.seconds, about, say)
    status = DONE
    with tempfile.TemporaryDirectory() as folder:
        made = {}
        for name, points in _frames(args.dry).items():
            made[name] = getattr(args, name) or str(Path(folder) / f'{name}.bin')
            if not getattr(args, name):
                points.tofile(made[name])
        files = {case: made['kitti' if case == 'kitti' else 'nuscenes'] for case in BEV_CASES}
        plan = _with_points(PLAN, files)
        try:
            state.measure_all([shrunk(section) for section in plan] if args.dry else plan)
        except KeyboardInterrupt:
            say('interrupted: the completed measurements are saved')
            status = INTERRUPTED
    state.save()
    state.plot()
    say(f'-> {args.out}')
    if not any(result.measurements for result in state.results.values()):
        return status or FAILED
    return status


def _frames(dry: bool) -> dict[str, np.ndarray]:
    if dry:
        return {'kitti': kitti_frame(columns=16), 'nuscenes': nuscenes_frame(columns=32, sweeps=1)}
    return {'kitti': kitti_frame(), 'nuscenes': nuscenes_frame()}
