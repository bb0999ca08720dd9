"""What weights laid out ahead for a CPU save, and what they cost: ``python -m tests.benchmarks.packing``.

minilm widened to 400 MB, and a generated stack of convolutions of 377 MB, are opened in every form, with the container's options,
in fresh processes and in turn: each is opened and answers ten requests. CPU seconds are those of the whole process meanwhile.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime as ort
from onnx import StringStringEntryProto, TensorProto, helper, save

from entrypoints.hardware.cpu_quota import count_cpus
from entrypoints.hardware.providers import CPU
from entrypoints.runtime.session_options import SessionConfig, make_session_options, share_arena
from prebake.bake.trials.cost_model import AMORTIZED_REQUESTS, PULL_BYTES_PER_SECOND
from prebake.bake.weights.numpy_arrays import read_arrays
from prebake.measure.bench.statistics import summarize
from prebake.measure.report.report_files import write_document

LAYERS, CHANNELS, SIDE = 40, 512, 8
"""Of the convolutions: 3 x 3 kernels over pictures of ``SIDE`` x ``SIDE``."""


@dataclass(frozen=True)
class Form:
    """``level``: the optimization level at which ONNX Runtime wrote the graph anew; empty for the baked graph itself.
    ``packed``: whether the file of weights holds them prepacked. ``prepack``: whether a session packs what it finds unpacked."""

    level: str = ""
    packed: bool = False
    prepack: bool = False


FORMS = {
    "mapped": Form(),
    "packed while opening": Form(prepack=True),
    "packed ahead": Form("disable", packed=True, prepack=True),
    "laid out ahead": Form("all"),
    "laid out and packed ahead": Form("all", packed=True, prepack=True),
}
"""``laid out ahead`` is the artifact that ``prebake compile`` makes for a CPU (``prebake.bake.compilers.cpu``)."""


@dataclass(frozen=True)
class Graph:
    path: Path
    inputs: Path


@dataclass(frozen=True)
class Timing:
    """Seconds."""

    open: float
    first: float
    later: float
    total: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--only", choices=list(GRAPHS))
    args = parser.parse_args()
    document: dict[str, object] = {"runs": args.runs, "requests": AMORTIZED_REQUESTS}
    for name, prepare in GRAPHS.items():
        if args.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="prebake-bench-") as folder:
                document[name] = compare(name, prepare(Path(folder)), args.runs)
    write_document(Path("build/bench/packing.json"), document)


def widen_minilm(folder: Path) -> Graph:
    from tests.benchmarks.sessions import prepare_minilm  # with torch, which the timed processes need not load

    encoder = prepare_minilm(folder)
    return Graph(encoder.models / encoder.component / "model.onnx", encoder.case)


def write_convolutions(folder: Path) -> Graph:
    random, nodes, weights, value = np.random.RandomState(1), [], [], "x"
    shape, kernel = [1, CHANNELS, SIDE, SIDE], (CHANNELS, CHANNELS, 3, 3)
    with (folder / "weights.bin").open("wb") as file:
        for layer in range(LAYERS):
            data = (random.standard_normal(kernel) * 0.5 / np.sqrt(9 * CHANNELS)).astype(np.float32).tobytes()
            place = {"location": "weights.bin", "offset": str(file.tell()), "length": str(len(data))}
            weight = TensorProto(
                name=f"w{layer}", data_type=TensorProto.FLOAT, dims=kernel, data_location=TensorProto.EXTERNAL
            )
            weight.external_data.extend(StringStringEntryProto(key=k, value=v) for k, v in place.items())
            file.write(data)
            weights.append(weight)
            nodes += [
                helper.make_node("Conv", [value, weight.name], [f"c{layer}"], pads=[1] * 4, kernel_shape=[3, 3]),
                helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]),
                helper.make_node("Add", [f"r{layer}", value], [f"a{layer}"]),
            ]
            value = f"a{layer}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", value)]
    graph = helper.make_graph(nodes, "convolutions", ends[:1], ends[1:], weights)
    save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), folder / "model.onnx")
    np.savez(folder / "inputs.npz", x=random.standard_normal(shape).astype(np.float32))
    return Graph(folder / "model.onnx", folder / "inputs.npz")


GRAPHS: dict[str, Callable[[Path], Graph]] = {"minilm": widen_minilm, "convolutions": write_convolutions}


def compare(name: str, graph: Graph, runs: int) -> dict[str, object]:
    sizes = {form: write_form(graph, form) for form in FORMS}
    timings: dict[str, list[Timing]] = {form: [] for form in FORMS}
    for _ in range(runs + 1):
        for form, rows in timings.items():
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
                rows.append(fresh.submit(start, graph, form).result())
    document: dict[str, object] = {}
    for form, rows in timings.items():
        counted = rows[1:]  # the first fills the page cache
        medians = {field: median(getattr(row, field) for row in counted) for field in asdict(counted[0])}
        cpu = summarize([row.cpu for row in counted])
        document[form] = {**medians, "bytes": sizes[form], "cpu_range": [cpu.minimum, cpu.maximum]}
        print(
            f"{name}, {form}: " + ", ".join(f"{field} {value:.3f} s" for field, value in medians.items()),
            f"(CPU {cpu.minimum:.3f} to {cpu.maximum:.3f}); {sizes[form]:,} bytes, {sizes[form] / PULL_BYTES_PER_SECOND:.2f} s",
            flush=True,
        )
    return document


def write_form(graph: Graph, name: str) -> int:
    """Bytes that the form adds to the image."""
    form, folder = FORMS[name], form_folder(graph, name)
    if not form.level:
        return 0
    folder.mkdir(parents=True)
    options = make_session_options(SessionConfig(form.level, form.packed), count_cpus())
    options.optimized_model_filepath = str(folder / "model.onnx")
    for entry, value in (
        ("optimized_model_external_initializers_file_name", "weights.data"),
        ("optimized_model_external_initializers_min_size_in_bytes", "1024"),
        ("save_external_prepacked_constant_initializers", str(int(form.packed))),
    ):
        options.add_session_config_entry(f"session.{entry}", value)
    ort.InferenceSession(str(graph.path), options, providers=[CPU])
    return sum(path.stat().st_size for path in folder.iterdir())


def form_folder(graph: Graph, name: str) -> Path:
    return graph.path.parent / "forms" / name if FORMS[name].level else graph.path.parent


def read_inputs(graph: Graph) -> dict[str, np.ndarray]:
    if graph.inputs.suffix == ".npz":
        return dict(np.load(graph.inputs))
    return {name.removeprefix("inputs/"): array for name, array in read_arrays(graph.inputs).items()}


def start(graph: Graph, name: str) -> Timing:
    inputs, path = read_inputs(graph), form_folder(graph, name) / "model.onnx"
    share_arena()
    begin, cpu = time.perf_counter(), time.process_time()
    options = make_session_options(SessionConfig("disable", FORMS[name].prepack), count_cpus())
    session = ort.InferenceSession(str(path), options, providers=[CPU])
    given = {node.name: inputs[node.name] for node in session.get_inputs()}
    times = [time.perf_counter()]
    for _ in range(AMORTIZED_REQUESTS):
        session.run(None, given)
        times.append(time.perf_counter())
    answers = np.diff(times).tolist()
    return Timing(
        open=times[0] - begin,
        first=answers[0],
        later=median(answers[1:]),
        total=times[-1] - begin,
        cpu=time.process_time() - cpu,
    )


if __name__ == "__main__":
    main()
