"""``python -m tests.benchmarks.products``: 8-bit products of signed and of unsigned weights on this processor, and whether they
are exact (docs/decisions/0024)."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime as ort

from tests.support.models.eight_bits import write_product

ROWS, WIDTH, RUNS = 128, 768, 30


def main() -> None:
    x = np.random.default_rng(1).integers(0, 256, (ROWS, WIDTH)).astype(np.uint8)
    with TemporaryDirectory() as folder:
        for signed in (True, False):
            path, weights = write_product(Path(folder, "model.onnx"), WIDTH, signed=signed)
            options = ort.SessionOptions()
            options.intra_op_num_threads = 1
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            seconds = []
            for _ in range(RUNS):
                begun = time.perf_counter()
                (answer,) = session.run(None, {"x": x})
                seconds.append(time.perf_counter() - begun)
            exact = np.array_equal(answer, (x.astype(np.int64) - 128) @ weights)
            kind = "signed" if signed else "unsigned"
            print(f"{kind} weights: {min(seconds) * 1e3:.3f} ms, {'exact' if exact else 'saturated'}")


if __name__ == "__main__":
    main()
