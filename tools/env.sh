#!/usr/bin/env bash
# Makes, or finds ready, a virtual environment in which this clone is installed (editable):
#
#   bash tools/env.sh core    the network, training of the colorizer, inference and the demo
#   bash tools/env.sh full    core, mmcv with its ops, mmagic, mmpretrain, mmdet, mmdet3d, the tests
#   bash tools/env.sh onedl   core with OneDL's mmengine, mmcv, mmpretrain and mmdet, and the tests
#   bash tools/env.sh web     core, the page of `dualattn serve` and its tests
#
# The last line of standard output is the path of its Python; all else goes to standard error.
# DUALATTN_ENV is the environment's folder, PYTHON the Python it is made from. uv installs, with its
# own settings and pip's PIP_{FIND_LINKS,INDEX_URL,EXTRA_INDEX_URL,NO_INDEX,CERT}: a folder with an
# mmcv wheel in PIP_FIND_LINKS saves building its ops.
set -euo pipefail

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
((${#candidates[@]})) || read -ra candidates <<<"python3 ${pythons//3./python3.}"
for candidate in "${candidates[@]}"; do
  # Each is run, because a name on PATH may be a shim of pyenv without a Python behind it.
  read -r version python < <("$candidate" -c \
    'import sys; print("%d.%d" % sys.version_info[:2], sys.executable)' 2>/dev/null) || version=missing
  [[ " $pythons " != *" $version "* ]] || break
  tried+="$candidate is $version, " python=''
done
[[ $python ]] || die "$want needs Python ${pythons// /, } (${tried%, }): set PYTHON to one's path"

hash="$(LC_ALL=C && cat "$reqs"/*.txt | cksum)"
content="${prefix}py$version-${hash%% *}"
cache="${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}"
env="${DUALATTN_ENV:-${cache:+$cache/dualattn_mm/$content}}"
[[ $env ]] || die 'HOME is not set: let DUALATTN_ENV name the folder of the environment'
[[ $env == /* ]] || env="$PWD/$env"
state="$env/.setup" venv="$env/bin/python"
wheels="${DUALATTN_ENV:+$state}" # those built here: changed requirements cost no second build

# A stamp holds what was installed, and is written after all else.
has() { [[ -f $state/$1 && $(<"$state/$1") == "$2" ]] && "$venv" -c '' >/dev/null 2>&1; }
stamp() { printf '%s\n' "$2" >"$state/$1.new" && mv "$state/$1.new" "$state/$1"; }
packages_ready() { has all "$content" || { [[ $want == @(core|web) ]] && has core "$content"; }; }
finish_if_ready() { ! { packages_ready && has clone "$root"; } || { printf '%s\n' "$venv" && exit; }; }
finish_if_ready

# ---- one set-up at a time, which a signal stops as a whole ----

[[ ! -e $env || -z $(ls -A "$env") || -d $state ]] ||
  die "$env is not an environment of env.sh: let DUALATTN_ENV name a new or empty folder"
mkdir -p "$state" 2>/dev/null || die "cannot make the folder $env: let DUALATTN_ENV name another"
# The lock is on the open file: it lasts until this shell, and all that it started, has ended,
# however that comes about. Through Python, because not every system has flock(1).
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
  say 'interrupted: the next call repeats what was not finished' && exit 130
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

# ---- the steps (set -e does not reach into them: && joins what must succeed) ----

uv() { "$env/bin/uv" pip install --python "$venv" ${PIP_NO_INDEX:+--no-index} "$@"; }
imports() { "$venv" -W ignore -c "import ${1// /, }"; }

packages() { # packages FILE...: those that files of requirements/ name
  local release
  uv "${pins[@]}" "${@/#/-r$reqs/}" || return
  # Where libGL is missing (most containers) opencv-python cannot be loaded. The headless one, put
  # over it, serves the same `import cv2`.
  ! imports cv2 2>/dev/null || return 0
  release="$("$venv" -c 'from importlib import metadata as m; print(m.version("opencv-python"))')" &&
    uv --no-deps --reinstall "opencv-python-headless==$release" && imports cv2
}

# ---- the set-up ----

# uv reads none of pip's settings. Commas part its list of links.
links="$(set -f && set -- ${PIP_FIND_LINKS:-} && IFS=, && printf '%s' "$*")"
[[ -z $links ]] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$links}"
[[ -z ${PIP_INDEX_URL:-} ]] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
[[ -z ${PIP_EXTRA_INDEX_URL:-} ]] || export UV_INDEX="${UV_INDEX:-$PIP_EXTRA_INDEX_URL}"
[[ -z ${PIP_CERT:-} ]] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"

pins=(--build-constraints "$reqs/core.txt") # old sdists, too, need a setuptools with pkg_resources
if [[ $want == @(core|full) ]]; then
  # All pins hold from the start, so that `full` finds nothing to change in what `core` installed.
  for file in "$reqs"/*.txt; do [[ ${file##*/} == @(lock|onedl|web)* ]] || pins+=(-c "$file"); done
  [[ ! -f $reqs/lock-py${version/./}.txt ]] || pins+=(-c "$reqs/lock-py${version/./}.txt")
fi

packages_ready || say "setting up $env ($want, Python $version)"
if ! packages_ready && ! has core "$content"; then
  rm -f "$state"/{core,all,clone} # first: what is half removed must not look finished
  find "$env" -mindepth 1 -maxdepth 1 ! -name .setup -exec rm -rf {} +
  step 'a new virtual environment' "$python" -m venv "$env"
  "$venv" -m pip install --retries 1 -r "$reqs/uv.txt" >"$state/log" 2>&1 || {
    ! grep -q Retrying "$state/log" || die 'the package index cannot be reached (no network?)'
    die "failed: uv: $(tail -n 1 "$state/log")"
  }
  step 'torch and the other core packages' packages "${core[@]}"
  step 'a check that they can be imported' imports 'torch torchvision mmengine.runner cv2 skimage lpips'
  stamp core "$content"
fi
has clone "$root" || rm -f "$state/clone"
has clone "$root" || step "this clone: $root" uv --no-deps --no-build-isolation -e "$root"
stamp clone "$root"
if ! packages_ready; then
  step 'mmcv with its ops' "$venv" "$root/tools/install_mmcv.py" --keep "${wheels:-${env%/*}}" \
    "$(grep -v '^#' "$reqs/$mmcv.txt")"
  rm -f "$state/core" # from here on an interruption could leave core packages half replaced
  # mmcv's sparse convolutions are for GPUs.
  [[ $want == onedl ]] || "$venv" 2>/dev/null -c 'import torch, mmcv.ops as ops
assert torch.cuda.is_available() and ops.get_compiling_cuda_version() != "not available"' ||
    libraries+=(mmdet3d-cpu.txt)
  core+=(${libraries[@]+"${libraries[@]}"} benchmark.txt export.txt docs.txt tests.txt)
  step 'the libraries and the tests' packages "${core[@]}"
  step 'a check that they can be imported' imports "$checked"
  stamp all "$content"
fi
printf '%s\n' "$venv"
