"""The Open Inference Protocol of real servers, judged by Triton's client; its pure parts have tests of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import prebake
from tests.support.container.baking import answer
from tests.support.container.open_inference import make_input, triton_client
from tests.support.container.raw import connected, post
from tests.support.container.running import Server, Start, running, wait_until
from tests.support.container.two_models import SEVERAL, bake_two

TOKEN = "a-token-of-the-test"
X = np.array([[1, 2, 3, 4]], np.float32)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("two")
    with running(bake_two(folder), folder, {**SEVERAL, "PREBAKE_ADMIN_TOKEN": TOKEN}) as server:
        yield server.wait_for("ready")


def name_of(server: Server) -> str:
    return str(server.get("/").json()["name"])


def test_an_image_of_one_model_describes_itself(server: Server) -> None:
    name = name_of(server)
    with triton_client(server.port) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(name)
        assert not client.is_model_ready("nobody")
        metadata = client.get_server_metadata()
        assert (metadata["name"], metadata["version"]) == ("prebake", prebake.__version__)
        assert {each["name"] for each in client.get_model_metadata(name)["inputs"]} >= {"values", "factor", "clip"}
        assert client.get_model_config("linear")["backend"] == "onnxruntime"
        assert {each["name"] for each in client.get_model_repository_index()} == {
            name,
            f"{name}.linear",
            f"{name}.total",
        }


def test_its_form_and_its_graphs_answer(server: Server) -> None:
    name = name_of(server)
    with triton_client(server.port) as client:
        texts = make_input("values", np.array([b"1,2,3,4"], object)), make_input("factor", np.array([3.0]))
        result = client.infer(name, list(texts), request_id="a")
        assert json.loads(result.as_numpy("body")[0])["result"] == pytest.approx(answer(3))
        assert result.get_response()["id"] == "a"
        for binary in (True, False):
            total = client.infer("total", [make_input("x", X, binary=binary)]).as_numpy("y")
            assert total == pytest.approx(X.sum(axis=1, keepdims=True))
        packed = client.infer("total", [make_input("x", X)], request_compression_algorithm="gzip")
        assert packed.as_numpy("y") == pytest.approx(total)
        (counted,) = client.get_inference_statistics("total")["model_stats"]
        assert counted["inference_stats"]["success"]["count"] >= 3
        assert counted["inference_stats"]["compute_infer"]["ns"] > 0


def test_errors_are_text(server: Server) -> None:
    from tritonclient.utils import InferenceServerException

    with triton_client(server.port) as client:
        for model, array, text in (("total", X[0], "has 1 axes"), ("nobody", X, "unknown model")):
            with pytest.raises(InferenceServerException) as error:
                client.infer(model, [make_input("x", array)])
            assert text in str(error.value)
    name = name_of(server)
    for path, data in ((f"/v2/models/{name}/generate", {"factor": "3"}), (f"/v2/models/{name}/nothing", {})):
        response = server.client.post(path, data=data)
        assert 400 <= response.status_code < 500
        assert isinstance(response.json()["error"], str)
    assert server.client.get("/v2/models/total/infer").status_code == 405


def test_generate_works_by_the_name_too(server: Server) -> None:
    response = server.client.post(f"/v2/models/{name_of(server)}/generate", data={"values": "1,2,3,4", "factor": "3"})
    assert response.json()["result"] == pytest.approx(answer(3))


def test_a_timeout_of_the_client_shortens_the_wait(server: Server) -> None:
    document = {
        "inputs": [
            {"name": "values", "datatype": "BYTES", "shape": [1], "data": ["1,2,3,4"]},
            {"name": "manner", "datatype": "BYTES", "shape": [1], "data": ["hold"]},
        ],
        "parameters": {"timeout": 300_000},
    }
    response = server.client.post(f"/v2/models/{name_of(server)}/infer", json=document)
    assert response.status_code == 504
    assert "its timeout" in response.json()["error"]


def test_the_openapi_document_names_every_model(server: Server, pair: Server) -> None:
    paths = server.get("/openapi.json").json()["paths"]
    assert {"/generate", f"/v2/models/{name_of(server)}/infer"} <= paths.keys()
    paths = pair.get("/openapi.json").json()["paths"]
    assert {"/v2/models/left/generate", "/v2/models/right.total/infer"} <= paths.keys()


def test_graphs_of_several_models_have_whole_names(pair: Server) -> None:
    from tritonclient.utils import InferenceServerException

    with triton_client(pair.port) as client:
        assert client.infer("left.total", [make_input("x", X)]).as_numpy("y") == pytest.approx(X.sum())
        with pytest.raises(InferenceServerException, match=r"left\.total and right\.total"):
            client.infer("total", [make_input("x", X)])


def test_only_an_administrator_unloads(server: Server, pair: Server) -> None:
    refused = server.client.post("/v2/repository/models/left/unload")
    assert refused.status_code == 403
    assert "PREBAKE_ADMIN_TOKEN" in refused.json()["error"]
    assert pair.client.post("/v2/repository/models/left/unload").status_code == 401
    wrong = pair.client.post("/v2/repository/models/left/unload", headers={"authorization": "Bearer wrong"})
    assert wrong.status_code == 401
    assert TOKEN not in wrong.text


def test_a_model_is_unloaded_and_loaded_again(pair: Server) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    asked = "/v2/models/left/generate", {"values": "1,2,3,4", "factor": "3"}
    descriptors = Path(f"/proc/{pair.process.pid}/fd")
    with triton_client(pair.port) as client:
        counts = []
        for _ in range(3):
            client.unload_model("left", headers=headers)
            assert not client.is_model_ready("left")
            assert client.is_model_ready("right")
            states = {each["name"]: each["state"] for each in client.get_model_repository_index()}
            assert states["left"] != "READY"
            assert states["right"] == "READY"
            refused = pair.client.post(asked[0], data=asked[1])
            assert refused.status_code == 503
            assert "Load it by POST" in refused.json()["error"]
            client.load_model("left", headers=headers)
            response = pair.client.post(asked[0], data=asked[1])
            assert response.json()["result"] == pytest.approx(answer(3))
            counts.append(len(list(descriptors.iterdir())))
    assert counts[-1] <= counts[0] + 1


def test_a_request_whose_body_comes_too_late_for_its_model_is_refused(start: Start) -> None:
    """It must not be sent to a process that has ended: nobody would answer it, and the model would count as hung."""
    server = start(PREBAKE_ADMIN_TOKEN=TOKEN, PREBAKE_GRACE_PERIOD="0", PREBAKE_HANG_MARGIN="0").wait_for("ready")
    headers, path = {"authorization": f"Bearer {TOKEN}"}, f"/v2/repository/models/{name_of(server)}"
    request = post(b'{"values": "1,2,3,4"}')
    with connected(server) as client:
        client.send(request[:-1])
        wait_until(lambda: server.metric("prebake_requests_in_flight") == 1, "the request")
        assert server.client.post(f"{path}/unload", headers=headers).status_code == 200
        response = client.send(request[-1:]).read()
        assert response.status == 503
        assert b"is unloaded. Load it by POST" in response.body
    assert server.client.post(f"{path}/load", headers=headers).status_code == 200
    assert server.client.post("/generate", data={"values": "1,2,3,4"}).status_code == 200


def test_a_load_that_fails_says_why(start: Start, models: Path) -> None:
    server = start(PREBAKE_ADMIN_TOKEN=TOKEN).wait_for("ready")
    headers = {"authorization": f"Bearer {TOKEN}"}
    path = f"/v2/repository/models/{name_of(server)}"
    assert server.client.post(f"{path}/unload", headers=headers).status_code == 200
    bias = models / "linear/bias.txt"
    content = bias.read_bytes()
    bias.unlink()
    failed = server.client.post(f"{path}/load", headers=headers)
    assert failed.status_code == 500
    assert "bias.txt" in failed.json()["error"]
    bias.write_bytes(content)
    assert server.client.post(f"{path}/load", headers=headers).status_code == 200
    assert server.client.post("/generate", data={"values": "1,2,3,4"}).status_code == 200
