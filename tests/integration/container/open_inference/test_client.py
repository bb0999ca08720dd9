"""Triton's own client against the protocol's modules: every call that a container answers, and the text of every error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.container.open_inference import TOKEN, Service, make_input, serve, triton_client

ADMIN = {"Authorization": f"Bearer {TOKEN}"}
NUMBERS = np.array([[1.5, -2.0], [0.0, 3.25]], np.float32)
TEXTS = np.array(["naïve", "", "大"], object)
FLAGS = np.array(True)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serve(Service()) as port:
        yield port


@pytest.fixture(scope="module")
def client(port: int) -> Iterator[Any]:
    with triton_client(port) as client:
        yield client


def refusal(call: Any) -> str:
    """The text of the client's exception."""
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException) as caught:
        call()
    text = str(caught.value)
    assert "exception occurred in the client" not in text, "the client could not read the error"
    return text


def ask_echo(client: Any, *, binary: bool = True, name: str = "graphs.echo", **options: Any) -> Any:
    arrays = {"numbers": NUMBERS, "flags": FLAGS, "texts": TEXTS}
    return client.infer(name, [make_input(each, array, binary=binary) for each, array in arrays.items()], **options)


def check_echo(result: Any) -> None:
    np.testing.assert_array_equal(result.as_numpy("numbers_out"), NUMBERS)
    assert bool(result.as_numpy("flags_out")) is True
    assert result.as_numpy("flags_out").shape == ()
    texts = [each.decode() if isinstance(each, bytes) else each for each in result.as_numpy("texts_out").tolist()]
    assert texts == TEXTS.tolist()


def test_health_and_server_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    server = client.get_server_metadata()
    assert server["name"] == "prebake"
    assert {"binary_tensor_data", "model_repository", "statistics", "model_configuration"} <= set(server["extensions"])


@pytest.mark.parametrize("name", ["graphs", "graphs.echo", "echo", "graphs.total", "speaker", "speaker.total"])
@pytest.mark.parametrize("version", ["", "1"])
def test_every_name_has_readiness_metadata_and_configuration(client: Any, name: str, version: str) -> None:
    assert client.is_model_ready(name, version)
    described = client.get_model_metadata(name, version)
    assert described["name"] == name
    assert described["versions"] == ["1"]
    config = client.get_model_config(name, version)
    assert config["max_batch_size"] == 0
    assert [each["name"] for each in config["input"]] == [each["name"] for each in described["inputs"]]
    assert [each["dims"] for each in config["output"]] == [each["shape"] for each in described["outputs"]]


def test_metadata_names_datatypes_and_dynamic_axes(client: Any) -> None:
    tensors = {each["name"]: each for each in client.get_model_metadata("graphs")["inputs"]}
    assert tensors["numbers"] == {"name": "numbers", "datatype": "FP32", "shape": [-1, 2]}
    assert tensors["flags"] == {"name": "flags", "datatype": "BOOL", "shape": []}
    assert tensors["texts"] == {"name": "texts", "datatype": "BYTES", "shape": [-1]}
    form = {each["name"]: each for each in client.get_model_config("speaker")["input"]}
    assert {name: each["data_type"] for name, each in form.items()} == {
        "text": "TYPE_STRING",
        "clip": "TYPE_STRING",
        "repeat": "TYPE_INT64",
        "speed": "TYPE_FP64",
        "format": "TYPE_STRING",
    }
    assert [name for name, each in form.items() if not each["optional"]] == ["text"]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("name", ["graphs", "echo", "graphs.echo"])
def test_a_graph_answers_by_each_of_its_names(client: Any, name: str, binary: bool) -> None:
    result = ask_echo(client, name=name, binary=binary, request_id="42")
    check_echo(result)
    assert result.get_response()["id"] == "42"
    assert result.get_response()["model_name"] == name


def test_outputs_are_chosen_one_by_one(client: Any) -> None:
    from tritonclient.http import InferRequestedOutput

    wanted = [InferRequestedOutput("texts_out", binary_data=False), InferRequestedOutput("numbers_out")]
    result = ask_echo(client, outputs=wanted)
    assert [each["name"] for each in result.get_response()["outputs"]] == ["texts_out", "numbers_out"]
    assert result.get_output("texts_out")["data"] == TEXTS.tolist()
    assert result.get_output("numbers_out")["parameters"] == {"binary_data_size": 16}
    np.testing.assert_array_equal(result.as_numpy("numbers_out"), NUMBERS)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_bodies_are_compressed_both_ways(client: Any, algorithm: str) -> None:
    many = np.zeros((500, 2), np.float32)
    inputs = [make_input("numbers", many), make_input("flags", FLAGS), make_input("texts", TEXTS)]
    result = client.infer(
        "echo", inputs, request_compression_algorithm=algorithm, response_compression_algorithm=algorithm
    )
    np.testing.assert_array_equal(result.as_numpy("numbers_out"), many)


def test_a_compressed_answer_says_so_and_is_shorter(port: int) -> None:
    numbers = {"name": "x", "shape": [100, 4], "datatype": "FP32", "data": [0] * 400}
    for accepted in ("gzip", "deflate", "gzip;q=0", "identity"):
        url, headers = f"http://127.0.0.1:{port}/v2/models/graphs.total/infer", {"accept-encoding": accepted}
        answer = httpx.post(url, json={"inputs": [numbers]}, headers=headers, trust_env=False)
        compressed = accepted in ("gzip", "deflate")
        assert answer.headers.get("content-encoding") == (accepted if compressed else None)
        assert answer.json()["outputs"][0]["data"] == [0.0] * 100
        assert (int(answer.headers["content-length"]) < len(answer.content)) is compressed


def test_asynchronous_requests(port: int) -> None:
    with triton_client(port, concurrency=4) as client:
        x = make_input("x", np.ones((2, 4), np.float32))
        pending = [client.async_infer("graphs.total", [x]) for _ in range(8)]
        assert [each.get_result().as_numpy("y").tolist() for each in pending] == [[[4.0], [4.0]]] * 8


def test_a_form_takes_its_fields_as_tensors(client: Any) -> None:
    inputs = [
        make_input("text", np.array(["hé"], object)),
        make_input("clip", np.array([b"\xff\x00\xfe"], object)),
        make_input("repeat", np.array([3])),
        make_input("speed", np.array(0.5)),
    ]
    result = client.infer("speaker", inputs)
    body = json.loads(result.as_numpy("body")[0])
    assert body == {"text": "hé", "clip": 3, "repeat": 3, "speed": 0.5}
    assert result.as_numpy("media_type").tolist() == [b"application/json"]


def test_a_form_answers_with_text_or_base64_in_json(client: Any) -> None:
    from tritonclient.http import InferRequestedOutput

    wanted = [InferRequestedOutput(name, binary_data=False) for name in ("media_type", "body")]
    text = make_input("text", np.array(["hé"], object), binary=False)
    clip = make_input("clip", np.array(["AAEC"], object), binary=False)
    assert json.loads(client.infer("speaker", [text, clip], outputs=wanted).as_numpy("body")[0])["clip"] == 3
    wav = make_input("format", np.array(["wav"], object))
    body = client.infer("speaker", [text, wav], outputs=wanted).get_output("body")
    assert body["parameters"] == {"content_type": "base64"}
    assert body["data"][0].startswith("UklGR")
    assert client.infer("speaker", [text, wav]).as_numpy("body")[0].startswith(b"RIFF\x00\x01")


def test_a_raw_request_has_no_json(port: int) -> None:
    for count in (0, 1, 3):
        content = np.ones((count, 4), "<f4").tobytes()
        url = f"http://127.0.0.1:{port}/v2/models/graphs.total/infer"
        headers = {"Inference-Header-Content-Length": "0", "Accept-Encoding": "identity"}
        answer = httpx.post(url, content=content, headers=headers, trust_env=False)
        assert answer.status_code == 200, answer.text
        length = int(answer.headers["inference-header-content-length"])
        assert json.loads(answer.content[:length])["outputs"][0]["shape"] == [count, 1]
        assert np.frombuffer(answer.content[length:], "<f4").tolist() == [4.0] * count


def test_the_text_of_errors_reaches_the_caller(client: Any) -> None:
    x = make_input("x", np.ones((1, 3), np.float32))
    assert "x has the shape [1, 3], should have ['batch', 4]" in refusal(lambda: client.infer("graphs.total", [x]))
    assert "[404] Request for unknown model: 'grahps' is not found (did you mean \"graphs\"?)." in refusal(
        lambda: client.get_model_metadata("grahps")
    )
    assert "unknown model: 'graphs' version 2" in refusal(lambda: client.get_model_config("graphs", "2"))
    assert "unknown model: 'total'" in refusal(lambda: client.get_inference_statistics("total"))
    batch = make_input("text", np.array(["a", "b"], object))
    assert "speaker answers one at a time" in refusal(lambda: client.infer("speaker", [batch]))
    assert "There is no endpoint" in refusal(lambda: client.get_trace_settings("graphs"))
    assert "There is no endpoint" in refusal(client.get_log_settings)
    assert not client.is_model_ready("grahps")
    assert not client.is_model_ready("graphs", "2")


def test_shared_memory_has_no_regions(client: Any) -> None:
    from tritonclient.http import InferInput, InferRequestedOutput

    assert client.get_system_shared_memory_status() == []
    assert client.get_cuda_shared_memory_status() == []
    client.unregister_system_shared_memory()
    client.unregister_cuda_shared_memory()
    assert "[404]" in refusal(lambda: client.get_system_shared_memory_status("region"))
    assert "[404]" in refusal(lambda: client.register_system_shared_memory("region", "/key", 64))
    x, y = InferInput("x", [1, 4], "FP32"), InferRequestedOutput("y")
    x.set_shared_memory("region", 16)
    assert "x: shared memory is not supported" in refusal(lambda: client.infer("graphs.total", [x]))
    y.set_shared_memory("region", 4)
    given = make_input("x", np.ones((1, 4), np.float32))
    assert "y: shared memory is not supported" in refusal(lambda: client.infer("graphs.total", [given], outputs=[y]))


def test_statistics_count_requests_batches_and_failures() -> None:
    with serve(Service()) as port, triton_client(port) as client:
        for rows in (1, 3, 3):
            client.infer("graphs.total", [make_input("x", np.ones((rows, 4), np.float32))])
        refusal(lambda: client.infer("graphs.total", []))
        (entry,) = client.get_inference_statistics("graphs.total")["model_stats"]
        assert (entry["name"], entry["version"]) == ("graphs.total", "1")
        assert (entry["inference_count"], entry["execution_count"]) == (7, 3)
        assert {name: each["count"] for name, each in entry["inference_stats"].items()} == {
            "success": 3, "fail": 1, "queue": 3, "compute_input": 3, "compute_infer": 3, "compute_output": 3,
            "cache_hit": 0, "cache_miss": 0,
        }  # fmt: skip
        whole, parts = entry["inference_stats"]["success"]["ns"], ("compute_input", "compute_infer", "compute_output")
        assert 0 < sum(entry["inference_stats"][part]["ns"] for part in parts) <= whole
        assert [(each["batch_size"], each["compute_infer"]["count"]) for each in entry["batch_stats"]] == [
            (1, 1),
            (3, 2),
        ]
        names = [each["name"] for each in client.get_inference_statistics()["model_stats"]]
        assert names == ["graphs", "graphs.total", "speaker", "speaker.total"]


def test_the_repository_lists_loads_and_unloads() -> None:
    with serve(Service()) as port, triton_client(port) as client:
        client.unload_model("speaker", headers=ADMIN)
        states = {each["name"]: each["state"] for each in client.get_model_repository_index()}
        assert states["speaker"] == "UNAVAILABLE"
        assert states["graphs"] == "READY"
        url = f"http://127.0.0.1:{port}/v2/repository/index"
        ready = httpx.post(url, json={"ready": True}, trust_env=False).json()
        assert [each["name"] for each in ready] == ["graphs", "graphs.total", "speaker.total"]
        assert "ready should be" in httpx.post(url, json={"ready": 1}, trust_env=False).json()["error"]
        client.load_model("speaker", headers=ADMIN)
        assert {each["state"] for each in client.get_model_repository_index()} == {"READY"}
        changed = refusal(lambda: client.load_model("speaker", headers=ADMIN, config="{}"))
        assert "A model is loaded as it is in the image" in changed


def test_only_an_administrator_loads_and_unloads(client: Any) -> None:
    with serve(Service(token="")) as port, triton_client(port) as other:
        assert "PREBAKE_ADMIN_TOKEN" in refusal(lambda: other.unload_model("speaker", headers=ADMIN))
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
    ):
        assert "[401]" in refusal(lambda headers=headers: client.unload_model("speaker", headers=headers))
