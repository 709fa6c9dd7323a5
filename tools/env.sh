#!/usr/bin/env bash
# Makes, or finds ready, the project's virtual environment:
#
#   bash tools/env.sh core   the network, training of the colorizer, inference and the demo
#   bash tools/env.sh full   also mmcv with its ops, mmagic, mmpretrain, mmdet, mmdet3d and the tests
#
# The last line of standard output is the path of its Python; all else goes to standard error.
# DUALATTN_ENV is the environment's folder, PYTHON the Python (3.10 to 3.12) it is made from. pip's own
# settings hold: PIP_FIND_LINKS, for one, may name a folder with an mmcv wheel, which saves the build.
set -euo pipefail

say() { printf 'env.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

[[ $# == 1 && ($1 == core || $1 == full) ]] || { say 'usage: bash tools/env.sh core|full'; exit 2; }
want=$1
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
reqs="$root/requirements"
unset PYTHONHOME PYTHONPATH

# ---- which Python, which environment ----

# Each candidate is run, because a name on PATH may be a shim of pyenv without a Python behind it.
python='' version='' tried=''
candidates=("${PYTHON:-python3}")
[[ -n ${PYTHON:-} ]] || candidates+=(python3.11 python3.12 python3.10)
for candidate in "${candidates[@]}"; do
  found="$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2], sys.executable)' \
    2>/dev/null)" || found='not there'
  case $found in
    3.10\ * | 3.11\ * | 3.12\ *)
      version=${found%% *} python=${found#* }
      break
      ;;
    [0-9]*) tried+=", $candidate is ${found%% *}" ;;
    *) tried+=", no $candidate" ;;
  esac
done
[[ -n $python ]] || die "needs Python 3.10, 3.11 or 3.12 (${tried#, }): set PYTHON to the path of one"

{ read -r hash && read -r core_uri; } < <("$python" - "$reqs" "$version" <<'PY'
import hashlib, pathlib, sys
folder = pathlib.Path(sys.argv[1])
digest = hashlib.sha256(sys.argv[2].encode())
for path in sorted(folder.glob('*.txt')):
    digest.update(path.name.encode() + path.read_bytes())
print(digest.hexdigest()[:12])
print((folder / 'core.txt').as_uri())
PY
)

if [[ -n ${DUALATTN_ENV:-} ]]; then
  env=$DUALATTN_ENV
  [[ $env == /* ]] || env="$PWD/$env"
  built="$env/.setup"
else
  env="$HOME/.cache/dualattn_mm/env-$hash"
  built="$HOME/.cache/dualattn_mm" # outside, so that changed requirements do not cost a second build
fi
state="$env/.setup"
log="$env/setup.log"
venv="$env/bin/python"

# A stamp holds the hash of what was installed, and is written after all else.
has() { [[ -f $state/$1 && $(<"$state/$1") == "$hash" ]] && "$venv" -c '' >/dev/null 2>&1; }
stamp() { printf '%s\n' "$hash" >"$state/$1.new" && mv "$state/$1.new" "$state/$1"; }
finish_if_ready() {
  if has full || { [[ $want == core ]] && has core; }; then
    printf '%s\n' "$venv"
    exit 0
  fi
}
finish_if_ready

# ---- one set-up at a time ----

if [[ -e $env && -n $(ls -A "$env") && ! -d $state ]]; then
  die "$env is not an environment of env.sh: let DUALATTN_ENV name a new or empty folder"
fi
mkdir -p "$state" 2>/dev/null || die "cannot make the folder $env: let DUALATTN_ENV name another"

# The lock is on the open file: it lasts until this shell, and any pip that it started, has ended,
# however that comes about. Through Python, because not every system has flock(1).
exec 9>"$state/lock"
lock() { "$python" -c "import fcntl; fcntl.flock(9, $1)" 2>/dev/null; }
if ! lock 'fcntl.LOCK_EX | fcntl.LOCK_NB'; then
  say "waiting for another set-up of $env (its log: $log)"
  lock fcntl.LOCK_EX || die "cannot lock $state/lock"
  finish_if_ready
fi

# ---- how a step runs ----

child='' number=0 steps=0 title=''
stop() {
  trap '' HUP INT TERM
  if [[ -n $child ]]; then
    kill -INT -- "-$child" 2>/dev/null || :
    wait "$child" || :
  fi
  say 'interrupted: the next call does again what was not finished'
  exit "$1"
}
trap 'stop 129' HUP
trap 'stop 130' INT
trap 'stop 143' TERM

# run COMMAND...: output to the log; every 15 seconds a sign of life to the user: time, size of the
# environment, last line of the log
run() {
  local start=$SECONDS next=15 status=0
  set -m # a process group of its own, which can be stopped as a whole
  "$@" >>"$log" 2>&1 </dev/null &
  child=$!
  set +m
  while kill -0 "$child" 2>/dev/null; do
    if ((SECONDS - start >= next)); then
      printf '%12d s, %d MB: %s\n' "$((SECONDS - start))" "$(du -sm "$env" | cut -f 1)" \
        "$(tail -n 1 "$log" | cut -c 1-80)" >&2
      next=$((next + 15))
    fi
    sleep 0.2
  done
  wait "$child" || status=$?
  child=''
  return "$status"
}

announce() {
  number=$((number + 1))
  title="step $number of $steps ($1)"
  say "$title"
  printf '\n==== %s\n' "$title" >>"$log"
}

failed() {
  say "$title failed; the last lines of its log:"
  tail -n 12 "$log" | sed 's/^/  | /' >&2
  die "$title failed; the whole log: $log"
}

step() {
  announce "$1"
  shift
  run "$@" || failed
}

# ---- what the steps do (set -e does not reach in here: && joins what must succeed) ----

pip() { "$venv" -m pip --disable-pip-version-check "$@"; }

install() {
  local name args=()
  for name in "$@"; do args+=(-r "$reqs/$name.txt"); done
  pip install --progress-bar off "${args[@]}" "${constraints[@]}"
}

imports() { "$venv" -c "import ${1// /, }"; }

make_venv() {
  # Stamps first: what is half removed must not look finished.
  rm -f "$state/core" "$state/full" &&
    find "$env" -mindepth 1 -maxdepth 1 ! -name .setup ! -name setup.log -exec rm -rf {} + &&
    "$python" -m venv "$env"
}

# Where libGL is missing (most containers) opencv-python cannot be loaded. The headless one, put over
# it, serves the same `import cv2`.
headless_if_needed() {
  local release
  imports cv2 && return
  release="$("$venv" -c 'from importlib.metadata import version; print(version("opencv-python"))')" &&
    pip install --progress-bar off --no-deps --force-reinstall "opencv-python-headless==$release"
}

core_packages() { install torch core demo evaluation && headless_if_needed; }

core_check() {
  imports 'torch torchvision mmengine.runner cv2 PIL safetensors tqdm skimage sklearn' &&
    imports 'lpips torch_fidelity torchmetrics'
}

# The CUDA toolkit's folder, if mmcv's CUDA ops can be built: a GPU that torch can use, and an nvcc of
# torch's CUDA version.
cuda_toolkit() {
  local nvcc cuda
  nvcc="$(command -v "${CUDA_HOME:+$CUDA_HOME/bin/}nvcc")" || return 0
  cuda="$("$venv" -c 'import torch
if torch.cuda.is_available() and torch.version.cuda:
    print(torch.version.cuda.split(".")[0])')"
  [[ -n $cuda ]] || return 0
  if [[ $("$nvcc" --version) == *"release $cuda."* ]]; then
    # What is called nvcc may be a link or a script: it knows best where the toolkit lies.
    "$nvcc" --dryrun -x cu /dev/null 2>&1 | sed -n 's/^#\$ TOP=//p'
  else
    say "nvcc is not of torch's CUDA version ($cuda): mmcv gets CPU ops only"
  fi
}

mmcv_uses_gpu() {
  "$venv" -c 'import sys, torch, mmcv.ops
sys.exit(not torch.cuda.is_available() or mmcv.ops.get_compiling_cuda_version() == "not available")'
}

# A wheel fits if its ops load beside this torch and compute, with CUDA where that could be built.
try_wheel() {
  pip install --no-deps --no-index --ignore-installed "$1"/mmcv-*.whl &&
    "$venv" -c 'import torch, mmcv.ops
mmcv.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.ones(1), 0.5)' &&
    { [[ -z $cuda_home ]] || mmcv_uses_gpu; }
}

mmcv_from_wheel() {
  if compgen -G "$built_mmcv/mmcv-*.whl"; then
    try_wheel "$built_mmcv" && return
  fi
  # --only-binary: no sdist, and so nothing that pip's cache holds under the sdist's name either.
  rm -rf "$state/found" &&
    pip download --no-deps --only-binary=:all: -d "$state/found" -r "$reqs/mmcv.txt" &&
    try_wheel "$state/found"
}

can_build() {
  local how='install it, or let PIP_FIND_LINKS name a folder with a fitting mmcv wheel'
  command -v "${CXX:-c++}" >/dev/null || die "building mmcv needs a C++ compiler (c++): $how"
  "$venv" -c 'import pathlib, sys, sysconfig
sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").is_file())' ||
    die "building mmcv needs Python.h of Python $version (package python$version-dev): $how"
}

build_mmcv() {
  local jobs settings
  jobs="$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)"
  settings=(MMCV_WITH_OPS=1 "MAX_JOBS=${MAX_JOBS:-$jobs}" "PATH=$env/bin:$PATH") # there lies ninja
  if [[ -n $cuda_home ]]; then
    # torch compiles for the GPU it sees. Its wheels bring the headers that a small toolkit lacks.
    settings+=(FORCE_CUDA=1 "CUDA_HOME=$cuda_home")
    [[ -f $cuda_home/include/cublas_v2.h ]] ||
      settings+=("CPATH=$(printf '%s:' "$env"/lib/python*/site-packages/nvidia/cu*/include)${CPATH:-}")
  else
    settings+=(FORCE_CUDA=0 CUDA_VISIBLE_DEVICES=) # FORCE_CUDA=0 alone does not stop mmcv's setup
  fi
  # pip's cache would later serve this wheel to any torch, so it is kept where its torch is named.
  pip install --progress-bar off wheel ninja "${constraints[@]}" &&
    rm -rf "$state/build" &&
    env "${settings[@]}" "$venv" -m pip wheel -v --no-deps --no-build-isolation --no-cache-dir \
      --no-binary=mmcv -w "$state/build" -r "$reqs/mmcv.txt" &&
    try_wheel "$state/build" &&
    mkdir -p "$built_mmcv" &&
    mv "$state/build"/mmcv-*.whl "$built_mmcv/"
}

libraries() {
  local sparse=mmdet3d-cpu
  ! mmcv_uses_gpu || sparse=''
  install torch core demo evaluation mmagic mmpretrain mmdet mmdet3d $sparse benchmark tests &&
    headless_if_needed
}

full_check() { imports 'mmcv.ops mmdet.models mmpretrain.models mmdet3d.models mmagic.models pytest'; }

# ---- the set-up ----

: >"$log"
say "setting up $env ($want, Python $version); details go to $log"
export TMPDIR="$state/tmp" # room for gigabytes, and nothing left over elsewhere
rm -rf "$TMPDIR"
mkdir "$TMPDIR"
export PIP_USER=0

# All pins hold from the start, so that `full` finds nothing to change in what `core` installed.
constraints=()
for file in "$reqs"/*.txt; do
  [[ ${file##*/} == lock-* ]] || constraints+=(-c "$file")
done
lock_file="$reqs/lock-py${version/./}.txt"
[[ ! -f $lock_file ]] || constraints+=(-c "$lock_file")
# pip builds an sdist in an environment of its own, where only these variables reach (each in some
# releases of pip): old sdists, too, need a setuptools with pkg_resources.
export PIP_CONSTRAINT="${PIP_CONSTRAINT:+$PIP_CONSTRAINT }$core_uri"
export PIP_BUILD_CONSTRAINT="${PIP_BUILD_CONSTRAINT:+$PIP_BUILD_CONSTRAINT }$core_uri"

core_ready=''
if has core; then core_ready=yes; else steps=3; fi
[[ $want == core ]] || steps=$((steps + 3))

if [[ -z $core_ready ]]; then
  step 'a new virtual environment' make_venv
  step 'torch and the other core packages' core_packages
  step 'a check that they can be imported' core_check
  stamp core
fi

if [[ $want == full ]]; then
  torch="$("$venv" -c 'import torch; print(torch.__version__)')"
  cuda_home="$(cuda_toolkit)"
  built_mmcv="$built/mmcv-py$version-torch$torch${cuda_home:+-cuda}"
  announce 'mmcv with its ops'
  if ! run mmcv_from_wheel; then
    can_build
    say 'no mmcv wheel fits: building its ops takes about 10 minutes on 2 cores (CUDA ops: 25)'
    run build_mmcv || failed
  fi
  rm -f "$state/core" # from here on an interruption could leave core packages half replaced
  step 'mmagic, mmpretrain, mmdet, mmdet3d and the tests' libraries
  step 'a check that they can be imported' full_check
  stamp core
  stamp full
fi

rm -rf "$TMPDIR" "$state/found" "$state/build"
printf '%s\n' "$venv"
