"""One start in a process of its own: ``python -m tests.gpu_check.start FOLDER DEVICE FILE...`` prints its phases as JSON."""

from __future__ import annotations

import sys

from entrypoints.processes.timeline import Timeline


def main(folder: str, device: str, files: list[str]) -> None:
    timeline = Timeline()
    with timeline.phase("import torch"):
        import torch  # noqa: F401
    with timeline.phase("import networks"):
        from pathlib import Path

        import numpy as np

        from entrypoints.runtime.torch_network import NetworkFiles, TorchSession, build_network, load_network
        from tests.gpu_check.device import allocated, create_context, wait
        from tests.support.images.blocks.model_torch import build

    with timeline.phase("context"):
        create_context(device)
    before = allocated(device)
    with timeline.phase("build"):
        parts = NetworkFiles(Path(folder), "net", "config.json", tuple(files))
        network = build_network(build, parts)
    with timeline.phase("load"):
        module = load_network(network, parts, device, "bf16")
        wait(device)
    resident = allocated(device) - before
    session = TorchSession(module, network.outputs, device)
    width = int(next(network.weights.parameters()).shape[-1])
    given = {"x": np.ones((8, width), np.float32)}
    with timeline.phase("first inference"):
        answer = session.run(given)
    total = timeline.now()
    with timeline.phase("later inference"):
        session.run(given)
    tensors = {id(each): each.nbytes for each in (*module.parameters(), *module.buffers())}
    import json

    told = {phase["name"]: phase["seconds"] for phase in timeline.describe_phases()}
    weights = sum(tensors.values())
    finite = bool(np.isfinite(answer["y"]).all())
    print(json.dumps({"phases": told, "total": total, "weights": weights, "resident": resident, "finite": finite}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
