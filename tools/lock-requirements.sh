#!/usr/bin/env bash
# Lock the Python packages of every image: images/*/requirements/*.in to *.txt, pinned and hashed, naming no index.
#
#   tools/lock-requirements.sh [IMAGE...]
#
# Two facts that a resolver cannot find are written here by hand: the digest of torch's CPU wheel, and TensorRT's libraries,
# whose source package needs a GPU to build its metadata.
set -euo pipefail
cd "$(dirname "$0")/.."
torch_cpu=6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b         # torch 2.13.0+cpu, cp311, x86_64
tensorrt='tensorrt-cu13-libs==10.16.1.11 \
    --hash=sha256:0e86cd02321b7258c2521495a7d8f0591852e6966ed7e43cfe33640c737495a3'

compile() {  # compile INPUT OVERRIDES OUTPUT
  env -u PIP_FIND_LINKS -u UV_FIND_LINKS uv pip compile -q --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
    --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate --override "$2" "$1" -o "$3"
}

# The export environment that every image shares unless it brings its own, and what torch serves with. torch stands apart: its CPU build where pip
# finds one (PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL), else the index's own build with the CUDA libraries that it needs. In one
# file pip would always choose the index's: it prefers a link with an allowed hash to one without.
shared=templates/requirements
without_torch() { awk '/^[a-z]/ {keep = !/^torch==/} keep' "$1" >"$1.new"; mv "$1.new" "$1"; }
export_lock() { compile "$1" tools/export-overrides.txt "$2"; without_torch "$2"; }
export_lock $shared/export.in $shared/export.txt
compile $shared/cpu.in tools/serve-overrides.txt $shared/cpu.txt
compile $shared/cpu-text.in tools/serve-overrides.txt $shared/cpu-text.txt
compile $shared/cpu-image.in tools/serve-overrides.txt $shared/cpu-image.txt
compile $shared/cpu-sound.in tools/serve-overrides.txt $shared/cpu-sound.txt
compile $shared/cpu-speech.in tools/serve-overrides.txt $shared/cpu-speech.txt
compile $shared/grpc.in tools/serve-overrides.txt $shared/grpc.txt
compile $shared/cuda-headers.in tools/serve-overrides.txt $shared/cuda-headers.txt
compile tests/support/science/cpu.in tools/serve-overrides.txt tests/support/science/cpu.txt
export_lock tools/dev.in tools/dev.txt
# The action runs on the Python that its caller chooses, and on runners of other processors.
env -u PIP_FIND_LINKS -u UV_FIND_LINKS uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header \
  --no-emit-index-url --no-emit-find-links --no-annotate tools/action/requirements.in -o tools/action/requirements.txt
printf 'torch==2.13.0+cpu \\\n    --hash=sha256:%s\n' "$torch_cpu" >$shared/torch-cpu.txt
whole=$(mktemp); compile $shared/export.in /dev/null "$whole"
awk '/^[a-z]/ {keep = /^(nvidia-|cuda-|triton|torch==)/} keep' "$whole" >$shared/torch-cuda.txt; rm "$whole"

for image in "${@:-$(ls images)}"; do for name in $image; do
  folder=images/$name/requirements
  for input in "$folder"/*.in; do
    output=${input%.in}.txt
    case $input in
      */export.in | */*-torch.in) export_lock "$input" "$output" ;;
      *) compile "$input" tools/serve-overrides.txt "$output" ;;
    esac
  done
  if [ -f "$folder/cuda.txt" ]; then { cat "$folder/cuda.txt"; printf '%s\n' "$tensorrt"; } >"$folder/tensorrt.txt"; fi
done; done
