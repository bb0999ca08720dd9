#!/usr/bin/env bash
# Lock the Python packages of every image: images/*/requirements/*.in to *.txt, pinned and hashed, naming no index.
#
#   tools/lock-requirements.sh [IMAGE...]
#
# Two facts that a resolver cannot know are put in afterwards: torch's CPU wheel, which no index of packages lists under
# its plain version, and TensorRT's libraries, whose source package needs a GPU before it tells its metadata.
set -euo pipefail
cd "$(dirname "$0")/.."
torch_cpu=6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b         # torch 2.13.0+cpu, cp311, x86_64
tensorrt='tensorrt-cu13-libs==10.16.1.11 \
    --hash=sha256:0e86cd02321b7258c2521495a7d8f0591852e6966ed7e43cfe33640c737495a3'

compile() {  # compile INPUT OVERRIDES OUTPUT
  env -u PIP_FIND_LINKS -u UV_FIND_LINKS uv pip compile -q --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
    --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate --override "$2" "$1" -o "$3"
}

# The export environment that every image shares unless it brings its own; and what torch needs besides where an index
# gives its CUDA build instead of the CPU one.
shared=templates/requirements
export_lock() { compile "$1" tools/export-overrides.txt "$2"; sed -i "s/^torch==2.13.0 \\\\$/&\n    --hash=sha256:$torch_cpu \\\\/" "$2"; }
export_lock $shared/export.in $shared/export.txt
export_lock tools/dev.in tools/dev.txt
whole=$(mktemp); compile $shared/export.in /dev/null "$whole"
awk '/^[a-z]/ {keep = /^(nvidia-|cuda-|triton)/} keep' "$whole" >$shared/torch-cuda.txt; rm "$whole"

for image in "${@:-$(ls images)}"; do for name in $image; do
  folder=images/$name/requirements
  for input in "$folder"/*.in; do
    output=${input%.in}.txt
    case $input in
      */export.in) export_lock "$input" "$output" ;;
      *) compile "$input" tools/serve-overrides.txt "$output" ;;
    esac
  done
  if [ -f "$folder/cuda.txt" ]; then { cat "$folder/cuda.txt"; printf '%s\n' "$tensorrt"; } >"$folder/tensorrt.txt"; fi
done; done
