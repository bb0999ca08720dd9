"""The OpenAPI document is valid, says what is accepted, and schemathesis finds no answer that it does not describe."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from entrypoints.contract import Field
from entrypoints.manifest.values import Limits
from entrypoints.open_inference.models import OfferedModel, Tensor
from entrypoints.open_inference.openapi import DescribedModel, describe_api
from entrypoints.open_inference.schemas import describe_field, describe_form, describe_infer_request, describe_tensor
from tests.support.container.open_inference import FIELDS, Service, make_directory, serve
from tests.support.schemas import Draft202012Validator

LIMITS = Limits(body_bytes=1000, queue=2, seconds=30)


def make_document() -> dict[str, Any]:
    models = [
        DescribedModel("graphs", ["/v2/models/graphs/generate"], (), LIMITS, "application/json"),
        DescribedModel("speaker", ["/generate", "/v2/models/speaker/generate"], FIELDS, LIMITS, "audio/wav"),
    ]
    document: dict[str, Any] = json.loads(json.dumps(describe_api("two", "0.1", models, make_directory())))
    return document


def accepts(schema: dict[str, Any], value: object) -> bool:
    return bool(Draft202012Validator(schema).is_valid(value))


def test_the_document_is_valid() -> None:
    import schemathesis

    document = make_document()
    schemathesis.openapi.from_dict(document).validate()
    operations = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(operations) == len(set(operations))
    del document["paths"]["/v2"]["get"]["responses"]["200"]["description"]
    with pytest.raises(Exception, match="description"):
        schemathesis.openapi.from_dict(document).validate()


def test_a_form_has_the_limits_of_its_fields() -> None:
    schema = describe_form(FIELDS, files="base64")
    for valid in ({"text": "a"}, {"text": "a", "clip": "AAEC", "repeat": 2, "speed": 0.5, "format": "wav"}):
        assert accepts(schema, valid), valid
    for name in ("clip", "repeat", "speed", "format"):
        assert accepts(schema, {"text": "a", name: None}), name
        assert not accepts(describe_form(FIELDS, files="binary"), {"text": "a", name: None}), name
    wrong: list[dict[str, object]] = [
        {},
        {"text": None},
        {"text": 1},
        {"text": "a" * 101},
        {"text": "a", "format": "mp3"},
        {"text": "a", "b": 1},
    ]
    assert not [value for value in wrong if accepts(schema, value)]
    numbers = describe_field(Field("n", "integer", "", minimum=1, maximum=3), files="base64")
    assert [accepts(numbers, value) for value in (0, 1, 3, 4, 1.5)] == [False, True, True, False, False]
    file = describe_field(Field("f", "file", "", maximum=4), files="base64")
    assert [accepts(file, "A" * length) for length in (8, 9)] == [True, False]


def test_tensors_have_their_datatype_and_shape() -> None:
    fixed = describe_tensor("x", Tensor("UINT8", (2, 1)))
    entry = {"name": "x", "datatype": "UINT8", "shape": [2, 1], "data": [1, 2]}
    assert accepts(fixed, entry)
    for change in ({"datatype": "INT8"}, {"shape": [2]}, {"shape": [3, 1]}, {"data": [1, 256]}, {"data": [1]}):
        assert not accepts(fixed, {**entry, **change}), change
    dynamic = describe_tensor("x", Tensor("FP32", ("batch", 2)))
    assert accepts(dynamic, {"name": "x", "datatype": "FP32", "shape": [5, 2], "data": [[0.0, 1.0]] * 5})
    assert not accepts(dynamic, {"name": "x", "datatype": "FP32", "shape": [-1, 2], "data": []})
    assert accepts(
        describe_tensor("x", Tensor("BOOL", ())), {"name": "x", "datatype": "BOOL", "shape": [], "data": [True]}
    )


def test_an_infer_request_has_every_input_and_known_outputs() -> None:
    model = OfferedModel("net", "net", "net", {"x": Tensor("FP32", (1,))}, {"y": Tensor("FP32", (1,))})
    schema = describe_infer_request(model)
    x = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}
    for valid in (
        {"inputs": [x]},
        {"inputs": [x], "outputs": [{"name": "y", "parameters": {"binary_data": True}}], "id": "7"},
    ):
        assert accepts(schema, valid), valid
    wrong: list[dict[str, object]] = [{}, {"inputs": []}, {"inputs": [x, x]}, {"inputs": [x], "id": 7}]
    wrong.append({"inputs": [x], "outputs": [{"name": "z"}]})
    assert not [value for value in wrong if accepts(schema, value)]


def test_schemathesis_finds_no_answer_that_the_document_does_not_describe() -> None:
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.core.result import Ok
    from schemathesis.specs.openapi import checks

    conformance = (checks.status_code_conformance, checks.content_type_conformance, checks.response_schema_conformance)
    statuses: set[tuple[str, int]] = set()
    with serve(Service()) as port:
        schema = schemathesis.openapi.from_dict(make_document())
        for result in schema.get_all_operations():
            assert isinstance(result, Ok)
            operation = result.ok()

            @settings(max_examples=10, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy())
            def ask(case: schemathesis.Case[Any]) -> None:
                response = case.call(base_url=f"http://127.0.0.1:{port}")
                statuses.add((case.path.rpartition("/")[2], response.status_code))
                case.validate_response(response, checks=[not_a_server_error, *conformance])

            ask()
    assert {("v2", 200), ("graphs", 200), ("config", 200), ("stats", 200), ("index", 200), ("infer", 400)} <= statuses
