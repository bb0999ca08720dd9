"""all-MiniLM-L6-v2, built with ``serving: {grpc: true}``, out of its container."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from prebake.docker.connection import Connection
from tests.support.commands.built_images import build_clone
from tests.support.commands.projects import Built, change_spec, clone, reach
from tests.support.container.grpc_client import grpc_channel, grpc_client, make_grpc_input
from tests.support.serving import Service, serving

SENTENCE = "A man is eating food."


@pytest.fixture(scope="module")
def speaking(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    project = clone(tmp_path_factory.mktemp("grpc") / "project", "minilm", variables=reach(engine))
    change_spec(project, lambda document: document.update(serving={"grpc": True}), "minilm")
    with build_clone(engine, project, "minilm") as built:
        yield built


@pytest.fixture(scope="module")
def service(engine: Connection, speaking: Built) -> Iterator[Service]:
    with serving(engine, speaking.tag, speaks_grpc=True) as service:
        yield service


def test_triton_client_gets_the_embeddings_of_rest(service: Service) -> None:
    expected = service.post(json={"texts": SENTENCE}).json()["embeddings"]
    with grpc_client(service.grpc_port) as client:
        assert client.is_server_ready()
        result = client.infer("minilm", [make_grpc_input("texts", np.array([SENTENCE.encode()], object))])
        answered = json.loads(result.as_numpy("body")[0])["embeddings"]
        np.testing.assert_allclose(answered, expected, atol=1e-6)
        index = client.get_model_repository_index(as_json=True)["models"]
        (graph,) = (each["name"] for each in index if each["name"] != "minilm")
        described = client.get_model_metadata(graph, as_json=True)
        types = {"INT64": np.int64, "INT32": np.int32}
        inputs = [
            make_grpc_input(each["name"], np.ones((1, 4), types[each["datatype"]])) for each in described["inputs"]
        ]
        output = described["outputs"][0]["name"]
        assert np.isfinite(client.infer(graph, inputs).as_numpy(output)).all()


def test_its_health_is_that_which_kubernetes_asks_for(service: Service) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc_channel(service.grpc_port) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_the_image_exposes_the_port(engine: Connection, speaking: Built, minilm: Built) -> None:
    with closing(engine.client()) as client:
        with_grpc, without = (client.images.get(tag).attrs["Config"] for tag in (speaking.tag, minilm.tag))
    assert set(with_grpc["ExposedPorts"]) - set(without["ExposedPorts"]) == {"8001/tcp"}
    assert set(with_grpc["Env"]) - set(without["Env"]) == {"PREBAKE_GRPC_PORT=8001"}


def test_an_image_without_grpc_has_neither_its_packages_nor_its_code(minilm_service: Service, service: Service) -> None:
    look = "import importlib.util as i, json; print(json.dumps([bool(i.find_spec(n)) for n in {names}]))"
    names = ["grpc", "entrypoints.server.grpc", "entrypoints.open_inference.grpc"]
    assert minilm_service.run(look.format(names=names)) == [False] * 3
    assert service.run(look.format(names=names)) == [True] * 3
