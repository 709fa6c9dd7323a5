#!/usr/bin/env bash
# Create a virtual environment with an editable install of this clone, or find an existing one:
#
#   bash tools/env.sh core    the network, training of the colorizer, inference and the demo
#   bash tools/env.sh full    core, mmcv with its ops, mmagic, mmpretrain, mmdet, mmdet3d, the tests
#   bash tools/env.sh onedl   core with OneDL's mmengine, mmcv, mmpretrain and mmdet, and the tests
#   bash tools/env.sh web     core, the page of `dualattn serve` and its tests
#
# The path of the environment's Python goes to standard output, and messages to standard error.
# DUALATTN_ENV sets the folder of the environment, and PYTHON the Python that creates it. uv reads
# its own settings and pip's PIP_{FIND_LINKS,INDEX_URL,EXTRA_INDEX_URL,NO_INDEX,CERT}. If a folder
# in PIP_FIND_LINKS has a wheel of mmcv, its ops are not built.
set -euo pipefail
shopt -s extglob # bash 3.2 of macOS reads @(a|b) only with it

say() { printf 'env.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
reqs="$root/requirements" want="${1:-}" pythons='3.11 3.12 3.10' mmcv=mmcv prefix=''
core=({torch,core,mmengine,demo,evaluation,serve,video,heif}.txt)
libraries=({mmagic,mmpretrain,mmdet,mmdet3d}.txt) checked='mmcv.ops mmdet.models mmpretrain.models pytest'
case "$# $want" in
  '1 core') pythons+=' 3.13 3.14' ;;
  '1 full') checked+=' mmdet3d.models mmagic.models' ;;
  '1 onedl') core=("${core[@]/mmengine/onedl}") mmcv=onedl-mmcv prefix=onedl- libraries=() ;;
  '1 web') core+=(web.txt web-tests.txt) prefix=web- pythons+=' 3.13 3.14' ;;
  *) say 'usage: bash tools/env.sh core|full|onedl|web'; exit 2 ;;
esac
unset PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE UV_PYTHON UV_SYSTEM_PYTHON && export PIP_USER=0

# ---- which Python, which environment ----

python='' tried='' child='' candidates=(${PYTHON:+"$PYTHON"})
# Only the first version has tested releases of all packages.
names="python${pythons// / python}"
((${#candidates[@]})) || read -ra candidates <<<"${names/ / python3 }"
for candidate in "${candidates[@]}"; do
  # Each is run, because a name on PATH may be a shim of pyenv without a Python behind it.
  read -r version python < <("$candidate" -c \
    'import sys; print("%d.%d" % sys.version_info[:2], sys.executable)' 2>/dev/null) || version=missing
  [[ " $pythons " != *" $version "* ]] || break
  tried+="$candidate is $version, " python=''
done
[[ $python ]] || die "$want needs Python ${pythons// /, } (${tried%, }): set PYTHON to one of them"

hash="$(LC_ALL=C && cat "$reqs"/*.txt | cksum)"
content="${prefix}py$version-${hash%% *}"
cache="${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}"
env="${DUALATTN_ENV:-${cache:+$cache/dualattn_mm/$content}}"
[[ $env ]] || die 'HOME is not set: set DUALATTN_ENV to the folder of the environment'
[[ $env == /* ]] || env="$PWD/$env"
state="$env/.setup" venv="$env/bin/python"
wheels="${DUALATTN_ENV:+$state}" # those built here: changed requirements cost no second build

# A stamp names what was installed. It is written last.
has() { [[ -f $state/$1 && $(<"$state/$1") == "$2" ]] && "$venv" -c '' >/dev/null 2>&1; }
stamp() { printf '%s\n' "$2" >"$state/$1.new" && mv "$state/$1.new" "$state/$1"; }
packages_ready() { has all "$content" || { [[ $want == @(core|web) ]] && has core "$content"; }; }
finish_if_ready() { ! { packages_ready && has clone "$root"; } || { printf '%s\n' "$venv" && exit; }; }
finish_if_ready

# ---- one set-up at a time; a signal stops all of its processes ----

[[ ! -e $env || -z $(ls -A "$env") || -d $state ]] ||
  die "$env is not an environment of env.sh: set DUALATTN_ENV to a new or empty folder"
for file in "$state"/{core,all}; do
  [[ ! -f $file || $(<"$file") == "$prefix"py* ]] ||
    die "$env is the environment of another set ($(<"$file")): set DUALATTN_ENV to another folder"
done
mkdir -p "$state" 2>/dev/null || die "cannot create the folder $env: set DUALATTN_ENV to another"
# The lock belongs to the open file, so it lasts until this shell and all processes that it started
# have ended. Python sets it, because not every system has flock(1).
exec 9>"$state/lock"
lock() { "$python" -c "import fcntl; fcntl.flock(9, $1)" 2>/dev/null; }
if ! lock 'fcntl.LOCK_EX | fcntl.LOCK_NB'; then
  say "waiting for another set-up of $env"
  lock fcntl.LOCK_EX || die "cannot lock $state/lock"
  finish_if_ready
fi

stop() {
  trap '' HUP INT TERM
  [[ -z $child ]] || { kill -TERM -- "-$child" 2>/dev/null && wait "$child"; } || :
  say 'interrupted: the next call goes on, or starts anew if packages were being replaced' && exit 130
}
trap stop HUP INT TERM

step() { # step TITLE COMMAND...
  say "$1"
  set -m # a process group of its own
  "${@:2}" >&2 </dev/null &
  child=$!
  set +m
  wait "$child" || die "failed: $1"
  child=''
}

# ---- the steps (set -e has no effect in them, so && joins the commands) ----

uv() { "$env/bin/uv" pip install --python "$venv" ${PIP_NO_INDEX:+--no-index} "$@"; }
imports() { "$venv" -W ignore -c "import ${1// /, }"; }

packages() { # packages FILE...: install the packages of these files in requirements/
  local release file files=()
  for file; do files+=(-r "$reqs/$file"); done
  uv "${pins[@]}" "${files[@]}" || return
  # Without libGL, as in most containers, only the same files of opencv-python-headless work.
  ! imports cv2 2>/dev/null || return 0
  release="$("$venv" -c 'from importlib import metadata as m; print(m.version("opencv-python"))')" &&
    uv --no-deps --reinstall "opencv-python-headless==$release" && imports cv2
}

# ---- the set-up ----

# uv does not read the settings of pip, and separates links by commas.
links="$(set -f && set -- ${PIP_FIND_LINKS:-} && IFS=, && printf '%s' "$*")"
[[ -z $links ]] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$links}"
[[ -z ${PIP_INDEX_URL:-} ]] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
# Like pip, take the best version of all indexes; uv alone looks only in the first that has a package.
[[ -z ${PIP_EXTRA_INDEX_URL:-} ]] || export UV_INDEX="${UV_INDEX:-$PIP_EXTRA_INDEX_URL}" \
  UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}"
[[ -z ${PIP_CERT:-} ]] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"

pins=(--build-constraints "$reqs/core.txt") # old sdists need a setuptools with pkg_resources
if [[ $want == @(core|full) ]]; then
  # `core` already uses all pins, so that `full` does not change the packages of `core`.
  for file in "$reqs"/*.txt; do [[ ${file##*/} == @(lock|onedl|web)* ]] || pins+=(-c "$file"); done
  [[ ! -f $reqs/lock-py${version/./}.txt ]] || pins+=(-c "$reqs/lock-py${version/./}.txt")
fi

packages_ready || say "setting up $env ($want, Python $version)"
if ! packages_ready && ! has core "$content"; then
  rm -f "$state"/{core,all,clone} # first: a partly removed environment is not finished
  find "$env" -mindepth 1 -maxdepth 1 ! -name .setup -exec rm -rf {} +
  step 'creating a new virtual environment' "$python" -m venv "$env"
  "$venv" -m pip install --retries 1 -r "$reqs/uv.txt" >"$state/log" 2>&1 || {
    ! grep -q Retrying "$state/log" || die 'the package index cannot be reached (no network?)'
    die "failed: uv: $(tail -n 1 "$state/log")"
  }
  step 'installing torch and the other core packages' packages "${core[@]}"
  step 'importing them as a check' imports 'torch torchvision mmengine.runner cv2 skimage lpips'
  stamp core "$content"
fi
has clone "$root" || { rm -f "$state/clone" &&
  step "installing this clone: $root" uv --no-deps --no-build-isolation -e "$root"; }
stamp clone "$root"
if ! packages_ready; then
  step 'installing mmcv with its ops' "$venv" "$root/tools/install_mmcv.py" --keep "${wheels:-${env%/*}}" \
    "$(grep -v '^#' "$reqs/$mmcv.txt")"
  rm -f "$state/core" # from here on, an interruption can leave core packages partly replaced
  [[ $want == onedl ]] || "$venv" 2>/dev/null -c 'import torch, mmcv.ops as ops
assert torch.cuda.is_available() and ops.get_compiling_cuda_version() != "not available"' ||
    libraries+=(mmdet3d-cpu.txt) # mmcv's sparse convolutions are for GPUs
  core+=(${libraries[@]+"${libraries[@]}"} benchmark.txt export.txt ray.txt docs.txt tests.txt)
  step 'installing the libraries and the packages for the tests' packages "${core[@]}"
  step 'importing them as a check' imports "$checked"
  stamp all "$content"
fi
printf '%s\n' "$venv"
