"""Lists the options of ONNX Runtime's GPU providers, read from the binaries of a wheel of onnxruntime-gpu.

    pip download --no-deps onnxruntime-gpu==1.31.1
    python tools/provider_options.py onnxruntime_gpu-*.whl > tests/integration/bake/graphs/onnxruntime-gpu-options.json

Neither provider can be asked where its libraries are missing, and an option that is unknown is an error only at start, on a
machine with a GPU. Given a folder instead of a wheel, it reads the installed package.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path

LIBRARY = "onnxruntime/capi/libonnxruntime_providers_{provider}.so"
ANCHOR = b"cudnn_conv_algo_search\0"
NEAR = 600  # bytes before it: the compiler keeps the strings of one source file together
TENSORRT = re.compile(rb"(?<=\0)trt_[a-z0-9_]+(?=\0)")
WORD = re.compile(rb"(?<=\0)[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?=\0)")


def read_library(package: Path, provider: str) -> bytes:
    name = LIBRARY.format(provider=provider)
    if package.is_dir():
        return (package / name).read_bytes()
    with zipfile.ZipFile(package) as wheel:
        return wheel.read(name)


def find_names(package: Path) -> dict[str, list[str]]:
    """By provider; those of CUDA are the words before one that is known."""
    cuda = read_library(package, "cuda")
    at = cuda.index(ANCHOR)
    beside = WORD.findall(cuda[max(0, at - NEAR) : at + len(ANCHOR)])
    found = {"cuda": beside, "tensorrt": TENSORRT.findall(read_library(package, "tensorrt"))}
    return {provider: sorted({name.decode() for name in names}) for provider, names in found.items()}


if __name__ == "__main__":
    wheel = Path(sys.argv[1])
    about = {"wheel": wheel.name, "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()}
    print(json.dumps({**about, "options": find_names(wheel)}, indent=2))
