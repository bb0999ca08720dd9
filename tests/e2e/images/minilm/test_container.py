"""all-MiniLM-L6-v2 out of its container: the published bytes, the published model's numbers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from images.minilm import naive
from prebake.docker.connection import Connection
from prebake.docker.containers.containers import copy_out
from tests.support.commands.built_images import lay_out_checkpoint
from tests.support.commands.projects import Built, read_lock
from tests.support.container.open_inference import make_input, triton_client
from tests.support.serving import Service

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
SENTENCES = [
    "A man is eating food.",
    "The girl is carrying a baby.",
    "Größe, naïve café, 東京 and 🙂",
    "one",
    "word " * 400,
    *(f"sentence number {n}" for n in range(40)),
]


@pytest.fixture(scope="module")
def published(minilm: Built, tmp_path_factory: pytest.TempPathFactory) -> naive.NaiveMiniLm:
    return naive.load(lay_out_checkpoint(minilm, tmp_path_factory.mktemp("checkpoint")))


def embeddings(service: Service, **arguments: Any) -> np.ndarray[Any, Any]:
    response = service.post(**arguments)
    assert response.status_code == 200, response.text
    return np.array(response.json()["embeddings"], dtype=np.float32)


def test_the_weight_layers_file_is_the_publishers(engine: Connection, minilm: Built, tmp_path: Path) -> None:
    layers = {layer["name"]: layer for layer in minilm.report["layers"]}
    assert layers["minilm/model.safetensors"]["kind"] == "weights"
    assert layers["minilm/model.safetensors"]["inputs"] == {"minilm/model.safetensors": WEIGHTS_SHA256}
    (locked,) = [
        layer
        for layer in read_lock(minilm.project, "minilm").checkpoints["published"].layers
        if set(layer.files) == {"minilm/model.safetensors"}
    ]
    assert (
        layers["minilm/model.safetensors"]["digest"] == layers["minilm/model.safetensors"]["diff_id"] == locked.digest
    )
    assert "derived" not in {layer["kind"] for layer in minilm.report["layers"]}
    with copy_out(engine, minilm.tag, "/models/minilm/model.safetensors", tmp_path / "weights").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == WEIGHTS_SHA256


def test_the_licenses_are_in_the_image(engine: Connection, minilm: Built, tmp_path: Path) -> None:
    for name, words in (("LICENSE", "MIT License"), ("LICENSE-APACHE-2.0", "Apache License"), ("NOTICE", "MiniLM")):
        assert words in copy_out(engine, minilm.tag, f"/models/minilm/{name}", tmp_path / name).read_text()


def test_embeddings_are_the_published_models(minilm_service: Service, published: naive.NaiveMiniLm) -> None:
    wanted = published.embed(SENTENCES)
    together = embeddings(minilm_service, json={"texts": "\n".join(SENTENCES)})
    assert together.shape == (len(SENTENCES), 384)
    assert np.abs(together - wanted).max() < 1e-5
    text = "\n".join(SENTENCES[:3])
    for arguments in ({"data": {"texts": text}}, {"files": {"texts": (None, text)}}):
        assert np.abs(embeddings(minilm_service, **arguments) - wanted[:3]).max() < 1e-5
    alone = np.concatenate([embeddings(minilm_service, json={"texts": each}) for each in SENTENCES[:5]])
    assert np.abs(alone - wanted[:5]).max() < 1e-5
    assert np.abs(np.linalg.norm(alone, axis=1) - 1).max() < 1e-5


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "texts"),
        ({"texts": " \n "}, "no sentence"),
        ({"texts": "a\n" * 300}, "256 at most"),
        ({"texts": "a" * 100_001}, "100000"),
        ({"texts": "a", "text": "b"}, "texts"),
        ({"texts": ["a"]}, "texts"),
    ],
)
def test_what_cannot_be_embedded_is_refused_in_words(minilm_service: Service, fields: Any, words: str) -> None:
    message, named = minilm_service.refusal(422, json=fields)
    assert words in message + str(named)
    assert named


def test_triton_client_gets_the_same_embeddings(minilm_service: Service) -> None:
    """By the form, by the graph, and with the errors of both: the container's paths, names and framing are the protocol's."""
    from tritonclient.utils import InferenceServerException

    sentence = SENTENCES[0]
    expected = embeddings(minilm_service, data={"texts": sentence})
    with triton_client(minilm_service.port) as client:
        assert client.is_server_ready()
        assert client.is_model_ready("minilm")
        (texts,) = (each for each in client.get_model_metadata("minilm")["inputs"] if each["name"] == "texts")
        assert texts["datatype"] == "BYTES"
        result = client.infer("minilm", [make_input("texts", np.array([sentence.encode()], object))])
        answered = json.loads(result.as_numpy("body")[0])["embeddings"]
        np.testing.assert_allclose(answered, expected, atol=1e-6)
        (graph,) = (each["name"] for each in client.get_model_repository_index() if each["name"] != "minilm")
        described = client.get_model_metadata(graph)
        inputs = [
            make_input(each["name"], np.ones((1, 4), {"INT64": np.int64, "INT32": np.int32}[each["datatype"]]))
            for each in described["inputs"]
        ]
        output = described["outputs"][0]["name"]
        assert np.isfinite(client.infer(graph, inputs).as_numpy(output)).all()
        with pytest.raises(InferenceServerException, match="texts"):
            client.infer("minilm", [make_input("nothing", np.array([b"a"], object))])
        (counted,) = client.get_inference_statistics("minilm")["model_stats"]
        assert counted["inference_stats"]["success"]["count"] >= 2


def test_the_openapi_document_is_valid(minilm_service: Service) -> None:
    import schemathesis

    document = minilm_service.client.get("/openapi.json").json()
    schemathesis.openapi.from_dict(document).validate()
    assert {"/generate", "/v2/models/minilm/generate", "/v2/models/minilm/infer"} <= document["paths"].keys()
