"""Install mmcv with its ops, from a wheel that fits this Python and torch or from its sdist.

If no wheel is published, a plain `pip install mmcv` builds one without ops and caches it under a
name that does not include the torch version. Run this script with the Python of an environment that
has torch: python tools/install_mmcv.py mmcv==2.1.0
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

try:
    import torch
except ModuleNotFoundError:
    sys.exit(f'error: torch is not installed for {sys.executable}: install it before mmcv')

PIP = [sys.executable, '-m', 'pip', '--disable-pip-version-check']
REMEDY = 'install it, or set PIP_FIND_LINKS to a folder with an mmcv wheel that fits'
# The ops must load with this torch and compute a result.
CHECK = """
import sys, torch, mmcv.ops
box, score = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1)
mmcv.ops.nms(box, score, 0.5)
if sys.argv[1] == 'cuda':
    mmcv.ops.nms(box.cuda(), score.cuda(), 0.5)
"""


def cuda_home() -> str | None:
    """Return the CUDA toolkit for building mmcv, if there is a GPU and an nvcc that fits torch."""
    if not (torch.version.cuda and torch.cuda.is_available()):
        return None
    home = os.environ.get('CUDA_HOME')
    names = [f'{home}/bin/nvcc'] if home else ['nvcc', '/usr/local/cuda/bin/nvcc']
    nvcc = next(filter(None, map(shutil.which, names)), None)
    release = f'release {torch.version.cuda.split(".")[0]}.'
    version = [nvcc, '--version']
    if not nvcc or release not in subprocess.run(version, capture_output=True, text=True).stdout:
        say(f'torch needs nvcc of CUDA {torch.version.cuda}, which is missing: only CPU ops')
        return None
    # nvcc may be a link or a script. Only nvcc itself knows the location of its toolkit.
    dry_run = [nvcc, '--dryrun', '-x', 'cu', os.devnull]
    text = subprocess.run(dry_run, capture_output=True, text=True).stderr
    found = re.search(r'^#\$ TOP=(.+)$', text, flags=re.MULTILINE)
    return found[1] if found else None


def say(text: str) -> None:
    print(f'install_mmcv.py: {text}', file=sys.stderr, flush=True)


def installs(folder: Path, cuda: bool) -> bool:
    """Install the wheel in `folder` and return whether its ops run."""
    wheels = [str(path) for path in folder.glob('*mmcv-*.whl')]
    pip = [*PIP, 'install', '--no-deps', '--no-index', '--force-reinstall', *wheels]
    check = [sys.executable, '-c', CHECK, 'cuda' if cuda else 'cpu']
    return bool(wheels) and all(
        subprocess.run(command, capture_output=True).returncode == 0 for command in (pip, check)
    )


def download(requirement: str, folder: Path) -> None:
    """Download a wheel if the index or a folder in PIP_FIND_LINKS has one."""
    pip = [*PIP, 'download', '--no-deps', '--only-binary=:all:', '-d', str(folder), requirement]
    subprocess.run(pip, capture_output=True)


def build(requirement: str, folder: Path, cuda: str | None, log: Path) -> None:
    """Build a wheel with the ops in `folder`.

    Raises:
        SystemExit: if a build requirement is missing or the build fails.
    """
    if not shutil.which(os.environ.get('CXX', 'c++')):
        sys.exit(f'error: building mmcv needs a C++ compiler (c++): {REMEDY}')
    if not Path(sysconfig.get_path('include'), 'Python.h').is_file():
        version = sysconfig.get_python_version()
        sys.exit(f'error: building mmcv needs Python.h (package python{version}-dev): {REMEDY}')
    environment = {
        'MAX_JOBS': str(os.cpu_count()),
        **os.environ,
        'MMCV_WITH_OPS': '1',
        'PATH': f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',  # ninja is there
    }
    if cuda:
        # torch compiles for the GPU that it sees. Its wheels have headers that a toolkit may lack.
        headers = Path(sysconfig.get_path('purelib')).glob('nvidia/cu*/include')
        paths = [*map(str, headers), os.environ.get('CPATH', '')]
        environment |= {'FORCE_CUDA': '1', 'CUDA_HOME': cuda, 'CPATH': os.pathsep.join(paths)}
    else:
        # FORCE_CUDA=0 alone does not prevent mmcv from building CUDA ops.
        environment |= {'FORCE_CUDA': '0', 'CUDA_VISIBLE_DEVICES': ''}
    say('no mmcv wheel fits: building its ops takes about 10 minutes on 2 cores (CUDA ops: 25)')
    name = re.split('[=<>~! ]', requirement)[0]
    tools = [*PIP, 'install', '-q', 'ninja', 'psutil', 'setuptools>=70.1,<81']
    pip = [*PIP, 'wheel', '-v', '--no-deps', '--no-build-isolation', '--no-cache-dir']
    pip += [f'--no-binary={name}', '-w', str(folder), requirement]
    with log.open('w', encoding='utf-8', errors='replace') as file:
        for command in (tools, pip):
            process = subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors='replace',
            )
            for line in process.stdout:
                file.write(line)
                if done := re.match(r'\s*\[(\d*0/\d+)\]', line):  # ninja's count of files
                    say(f'compiled {done[1]} files')
            if process.wait():
                file.flush()
                if 'C++20 or later' in log.read_text(encoding='utf-8', errors='replace'):
                    sys.exit(
                        f'error: {requirement} cannot be built for torch {torch.__version__}, '
                        'which needs C++20: pip install -r requirements/torch.txt'
                    )
                sys.exit(f'error: building mmcv failed, see the log {log}: {line.strip()}')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('requirement', help='for example mmcv==2.1.0 or onedl-mmcv==2.3.6')
    parser.add_argument(
        '--keep',
        type=Path,
        default=Path('work_dirs', 'mmcv'),
        metavar='FOLDER',
        help='folder for the built wheel, which later calls use (default: work_dirs/mmcv)',
    )
    args = parser.parse_args()
    cuda = cuda_home()
    version = sysconfig.get_python_version()
    # A wheel has code for the GPU that torch saw when it was built.
    kind = 'cuda{}.{}'.format(*torch.cuda.get_device_capability()) if cuda else 'cpu'
    kept = args.keep / f'{args.requirement}-py{version}-torch{torch.__version__}-{kind}'
    if installs(kept, bool(cuda)):
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        found = Path(temporary, 'found')
        download(args.requirement, found)
        if installs(found, bool(cuda)):
            return 0
        built = Path(temporary, 'built')
        args.keep.mkdir(parents=True, exist_ok=True)
        build(args.requirement, built, cuda, args.keep / 'build.log')
        if not installs(built, bool(cuda)):
            sys.exit('error: mmcv was built, but its ops do not run: python -c "import mmcv.ops"')
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(built, kept)
    return 0


if __name__ == '__main__':
    sys.exit(main())
