"""The contracts of clouds: SageMaker's and Vertex AI's paths, and Vertex AI's lists of instances."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.container.baking import answer, bake
from tests.support.container.running import Server, Start, running

PREDICT, HEALTH = "/v1/endpoints/7/deployedModels/8:predict", "/v1/health"
VALUES = {"values": "1,2,3,4"}


@pytest.fixture(scope="module")
def vertex(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("vertex")
    bake(folder / "models")
    with running(folder / "models", folder, {"AIP_PREDICT_ROUTE": PREDICT, "AIP_HEALTH_ROUTE": HEALTH}) as server:
        yield server.wait_for("ready")


def predict(server: Server, document: object) -> httpx.Response:
    return server.client.post(PREDICT, json=document)


def predictions(server: Server, document: object) -> list[Any]:
    response = predict(server, document)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() == {"predictions"}
    listed: list[Any] = response.json()["predictions"]
    return listed


def test_clouds_have_names_of_their_own(vertex: Server) -> None:
    for path in ("/ping", HEALTH):
        assert vertex.get(path).json() == {"ready": True}
    logged = {event["path"] for event in vertex.find_events("request")}
    assert not logged & {"/ping", HEALTH}, "probes that succeed are not logged"
    for path in ("/invocations", PREDICT):
        assert vertex.client.post(path, json={**VALUES, "factor": 3}).json()["result"] == pytest.approx(answer(3))


def test_each_instance_has_a_prediction_in_its_order(vertex: Server) -> None:
    clip = base64.b64encode(b"12345").decode()
    instances = [{**VALUES, "factor": 2}, {**VALUES, "clip": {"b64": clip}}, {**VALUES, "clip": clip, "factor": None}]
    assert predictions(vertex, {"instances": instances}) == [
        {"result": pytest.approx(answer(2)), "clip": 0, "repeat": 1},
        {"result": pytest.approx(answer(1)), "clip": 5, "repeat": 1},
        {"result": pytest.approx(answer(1)), "clip": 5, "repeat": 1},
    ]


def test_parameters_are_fields_of_every_instance_unless_it_has_its_own(vertex: Server) -> None:
    document = {"instances": [VALUES, {**VALUES, "factor": 3}], "parameters": {"factor": 2, "repeat": 4}}
    listed = predictions(vertex, document)
    assert [each["result"] for each in listed] == [pytest.approx(answer(2)), pytest.approx(answer(3))]
    assert [each["repeat"] for each in listed] == [4, 4]


def test_a_list_may_be_longer_than_one_form(vertex: Server) -> None:
    assert len(predictions(vertex, {"instances": [VALUES] * 300})) == 300


def test_a_list_may_not_hold_up_other_requests(vertex: Server) -> None:
    """A million instances would be converted for seconds, in the thread that reads all messages."""
    response = predict(vertex, {"instances": [{}] * 10_001})
    assert response.status_code == 400
    assert "10,001 instances; send at most 10,000" in response.json()["error"]["message"]


def test_a_raw_prediction_is_a_form(vertex: Server) -> None:
    expected = {"result": pytest.approx(answer(2)), "clip": 0, "repeat": 1}
    assert predict(vertex, {**VALUES, "factor": 2}).json() == expected
    assert vertex.client.post(PREDICT, data={**VALUES, "factor": "2"}).json() == expected


def test_bytes_are_in_base64_with_their_media_type(vertex: Server) -> None:
    (prediction,) = predictions(vertex, {"instances": [{**VALUES, "manner": "bytes"}]})
    assert base64.b64decode(prediction["b64"]) == bytes(range(256))
    assert prediction["media_type"] == "application/octet-stream"


def test_a_refusal_of_the_model_is_the_requests(vertex: Server) -> None:
    response = predict(vertex, {"instances": [VALUES, {"values": "1,2"}]})
    assert response.status_code == 422
    assert "4 numbers" in response.json()["error"]["message"]


def test_wrong_fields_of_all_instances_are_named_at_once(vertex: Server) -> None:
    instances = [VALUES, {"factor": 11}, {**VALUES, "repeat": 0}]
    response = predict(vertex, {"instances": instances})
    assert response.status_code == 422
    fields = response.json()["error"]["fields"]
    assert fields.keys() == {"instances[1].values", "instances[1].factor", "instances[2].repeat"}
    many = predict(vertex, {"instances": [{"nothing": 1}] * 1000})
    assert many.status_code == 422
    assert len(many.content) < 10_000
    assert "more may be wrong" in many.json()["error"]["message"]


def test_a_small_body_takes_no_more_memory_than_requests_have(
    models: Path, manifest: dict[str, Any], start: Start
) -> None:
    """Each instance has a copy of the file, and each prediction is as long as the model wants."""
    routes = {"AIP_PREDICT_ROUTE": PREDICT, "AIP_HEALTH_ROUTE": HEALTH, "PREBAKE_REQUEST_MEMORY": "64Mi"}
    server = start(**routes).wait_for("ready")
    clip = base64.b64encode(bytes(300_000)).decode()
    document = {"instances": [{}] * 1000, "parameters": {**VALUES, "clip": clip}}
    response = predict(server, document)
    assert response.status_code == 413
    assert "the instances" in response.json()["error"]["message"].lower()
    document["instances"] = [{}] * 20
    assert len(predictions(server, document)) == 20
    long = predict(server, {"instances": [{**VALUES, "manner": "long"}] * 30})
    assert long.status_code == 413
    assert "the predictions" in long.json()["error"]["message"].lower()
    assert len(predictions(server, document)) == 20, "the memory is free again"


def test_an_answer_that_is_no_json_spoils_no_other(vertex: Server) -> None:
    first, second = predictions(vertex, {"instances": [{"values": "nan,1,2,3"}, VALUES]})
    assert b"NaN" in base64.b64decode(first["b64"])
    assert first["media_type"] == "application/json"
    assert second["result"] == pytest.approx(answer(1))


@pytest.mark.parametrize(
    "document",
    [
        {"instances": []},
        {"instances": VALUES},
        {"instances": ["1,2,3,4"]},
        {"instances": [VALUES], "parameters": 3},
        {"instances": [VALUES], "instnces": 3},
        [VALUES],
        "text",
    ],
)
def test_a_body_of_another_form_is_refused(vertex: Server, document: object) -> None:
    response = predict(vertex, document)
    assert response.status_code == 400
    message = response.json()["error"]["message"]
    assert "instances" in message or "parameters" in message


def test_other_paths_take_no_instances(vertex: Server) -> None:
    for path in ("/generate", "/invocations"):
        response = vertex.client.post(path, json={"instances": [VALUES]})
        assert response.status_code == 422
        assert "instances" in response.json()["error"]["fields"]
