"""all-MiniLM-L6-v2 in fewer bits, out of its container: smaller, and as near the published model's own answer as was said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from images.minilm import naive
from prebake.docker.connection import Connection
from tests.support.commands.built_images import image_name, lay_out_checkpoint
from tests.support.commands.projects import Built, change_spec, clone, reach
from tests.support.serving import serving

SENTENCES = [
    "A man is eating food.",
    "The girl is carrying a baby.",
    "Größe, naïve café, 東京 and 🙂",
    "A container starts warm because nothing is compiled when the first request comes.",
]
PUBLISHED = 90_868_376


@pytest.fixture(scope="module", params=[("int8", 0.25, 0.27), ("int4", 0.45, 0.22)], ids=lambda each: each[0])
def built(
    request: pytest.FixtureRequest, engine: Connection, tmp_path_factory: Any
) -> Iterator[tuple[Built, float, float]]:
    """The image, its bound, and what part of the published weights' bytes its own may have."""
    kind, bound, part = request.param
    project = clone(tmp_path_factory.mktemp(kind) / "project", "minilm", variables=reach(engine))

    def change(document: dict[str, Any]) -> None:
        document["components"]["minilm"] = {"precision": {"type": kind, "max_relative_error": bound}}
        document["warmup"] = {"tolerance": 0.1}

    change_spec(project, change, "minilm")
    with image_name(engine) as tag:
        ended = project.run("--model", "minilm", "--tag", tag).expect(0)
        yield Built(project, "minilm", tag, ended, project.report("minilm")), bound, part


def test_the_image_is_smaller_and_its_answers_within_the_bound(
    engine: Connection, built: tuple[Built, float, float], tmp_path: Path
) -> None:
    image, bound, part = built
    layers = {layer["name"]: layer for layer in image.report["layers"]}
    assert "minilm/model.safetensors" not in layers
    assert layers["minilm (derived)"]["size"] < part * PUBLISHED

    wanted = naive.load(lay_out_checkpoint(image, tmp_path)).embed(SENTENCES)
    with serving(engine, image.tag) as service:
        response = service.post(json={"texts": "\n".join(SENTENCES)})
    answer = np.array(response.json()["embeddings"], np.float32)
    apart = np.sqrt(np.mean((answer - wanted) ** 2) / np.mean(wanted**2))
    assert 0 < apart <= bound


def test_the_report_tells_what_it_saved_and_cost_also_of_a_second_build(built: tuple[Built, float, float]) -> None:
    image, bound, _ = built
    for report in [image.report, *([again(image)] if "int8" in image.ended.stdout else [])]:
        component = report["components"]["minilm"]
        assert component["bound"] == bound
        assert component["weights"]["quantized"] == {"Gather": 3, "MatMul": 36}
        assert component["weights"]["left"] == {}
        assert component["weights"]["bytes_before"] > 3 * component["weights"]["bytes_after"]
        found = component["outputs"]["embeddings"]
        assert 0 < found["relative_error"] <= bound
        assert found["cosine_similarity"] > 0.85
        assert found["snr_db"] > 6
        assert found["difference"] > 1e-4
    assert f"{component['precision']}    minilm: " in image.ended.stdout


def again(image: Built) -> dict[str, Any]:
    image.project.run("--model", "minilm", "--tag", image.tag).expect(0)
    return image.project.report("minilm")
