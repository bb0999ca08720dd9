"""all-MiniLM-L6-v2 out of its container: the published bytes, the published model's numbers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from images.minilm import naive
from prebake.docker.connection import Connection
from prebake.docker.containers.containers import copy_out
from tests.support.commands.built_images import lay_out_checkpoint
from tests.support.commands.projects import Built, read_lock
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
