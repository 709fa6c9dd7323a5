#!/usr/bin/env bash
# Collect in one folder what `run.py gpu` needs on a machine without internet that has PyTorch and
# timm: carry.sh NEW_FOLDER WHEEL_FOLDER... The wheels are those of the other machine's Python, which
# PYTHON_VERSION names (3.12). No wheel is downloaded.
set -euo pipefail

die() { echo "error: $1" >&2 && exit 2; }

[[ $# -ge 2 ]] || die 'usage: carry.sh NEW_FOLDER WHEEL_FOLDER...'
out=$1 && shift
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
wheels=()
for folder; do
  compgen -G "$folder/*.whl" >/dev/null || die "$folder has no wheels: pass a folder of .whl files"
  for wheel in "$folder"/*.whl; do
    [[ $wheel == */mmpretrain-* ]] || wheels+=("$wheel") # its networks are not measured there
  done
done
mkdir "$out" 2>/dev/null || die "$out cannot be created: pass a folder that does not exist yet"
trap '[[ $? == 0 ]] || rm -rf -- "$out"' EXIT

platforms=()
for system in linux manylinux1 manylinux2014 manylinux_2_{17..39}; do
  platforms+=("--platform=${system}_x86_64")
done
python3 -m pip install --quiet --no-index --no-deps --no-compile --target "$out/packages" \
  --python-version "${PYTHON_VERSION:-3.12}" --implementation cp --only-binary=:all: \
  "${platforms[@]}" "${wheels[@]}" || die 'pip cannot install the wheels, see above'
# Of modelscope (32 MB) only DDColor is needed; of ours everything but the weights.
rm -rf "$out"/packages/{bin,tests,yapftests,mmcv/ops/csrc}
[[ ! -d $out/packages/modelscope ]] ||
  find "$out/packages/modelscope" -type f -not -path '*/ddcolor/*' -delete
(cd "$root" && git ls-files -z dualattn_mm configs projects ':!*.safetensors' ':!dualattn_mm/assets' |
  tar --create --null --files-from=- --file=-) | tar --extract --directory "$out"
git -C "$root" describe --always --dirty --abbrev=12 >"$out/COMMIT"

mib=$(find "$out" -type f -printf '%s\n' | awk '{sum += $1} END {printf "%.1f", sum / 2^20}')
echo "$out has $mib MiB. Copy it to the other machine, and run there:"
echo "cd $(basename "$out") && PYTHONPATH=packages python3 projects/benchmark/run.py gpu --out RESULTS"
