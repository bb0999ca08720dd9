"""The tables of messages are those of the published .proto, of Triton and of gRPC, and are read and written as a library does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrypoints.open_inference.grpc.contents import CONTENT_FIELDS
from entrypoints.open_inference.grpc.messages import decode, encode
from entrypoints.open_inference.grpc.schema import MESSAGES, MessageField
from tests.support.repository import ROOT

TYPES = {
    **{1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 8: "bool", 9: "string", 11: "message"},
    **{12: "bytes", 13: "uint32", 14: "enum"},
}
"""By the number in descriptor.proto."""
Described = Mapping[str, tuple[int, str, bool]]


def describe(descriptor: Any) -> Described:
    """Number, type and whether it is repeated, by the name of the field."""
    return {field.name: (field.number, TYPES[field.type], bool(field.is_repeated)) for field in descriptor.fields}


def find_message(pool: Any, name: str) -> Any:
    package = "grpc.health.v1" if name.startswith("HealthCheck") else "inference"
    return pool.FindMessageTypeByName(f"{package}.{name}")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The descriptors of docs/reference/open_inference.proto."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_tools import protoc

    target = tmp_path_factory.mktemp("protoc") / "set"
    folder = ROOT / "docs/reference"
    assert protoc.main(["protoc", f"-I{folder}", f"--descriptor_set_out={target}", "open_inference.proto"]) == 0
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(Path(target).read_bytes()).file:
        pool.Add(file)
    return pool


def test_the_tables_are_the_published_file(published: Any) -> None:
    for name, fields in MESSAGES.items():
        if not name.startswith("HealthCheck"):
            ours = {each: (field.number, field.kind, field.repeated) for each, field in fields.items()}
            assert ours == describe(find_message(published, name)), name
    contents = describe(find_message(published, "InferTensorContents"))
    assert {name: number for name, (number, _, _) in contents.items()} == CONTENT_FIELDS
    service = published.FindServiceByName("inference.GRPCInferenceService")
    from entrypoints.server.grpc.methods import NAMES

    served = {name.rpartition("/")[2] for name in NAMES if "inference" in name}
    assert {method.name for method in service.methods} == served


def test_the_tables_are_part_of_triton_s_and_of_grpc_s(triton: Any) -> None:
    from grpc_health.v1 import health_pb2

    pool = triton.DESCRIPTOR.pool
    for name, fields in MESSAGES.items():
        file = health_pb2 if name.startswith("HealthCheck") else triton
        theirs = find_message(file.DESCRIPTOR.pool, name)
        described = describe(theirs)
        for each, field in fields.items():
            assert described[each] == (field.number, field.kind, field.repeated), f"{name}.{each}"
            if field.kind == "enum":
                values = {value.name: value.number for value in theirs.fields_by_name[each].enum_type.values}
                assert field.values.items() <= values.items()
    contents = describe(find_message(pool, "InferTensorContents"))
    assert {name: number for name, (number, _, _) in contents.items()} == CONTENT_FIELDS


def values_of(field: MessageField) -> st.SearchStrategy[Any]:
    strategies: Mapping[str, st.SearchStrategy[Any]] = {
        "bool": st.booleans(),
        "int32": st.integers(-(2**31), 2**31 - 1),
        "uint32": st.integers(0, 2**32 - 1),
        "int64": st.integers(-(2**63), 2**63 - 1),
        "uint64": st.integers(0, 2**64 - 1),
        "string": st.text(max_size=20),
        "enum": st.sampled_from(sorted(field.values) or ["none"]),
    }
    if field.kind == "message":
        return messages_of(field.message)
    return strategies[field.kind]


def messages_of(name: str) -> st.SearchStrategy[dict[str, Any]]:
    fields = {
        each: st.lists(values_of(field), max_size=3) if field.repeated else values_of(field)
        for each, field in MESSAGES[name].items()
        if not field.is_map and not field.in_place and field.kind not in ("bytes", "double")
    }
    return st.fixed_dictionaries({}, optional=fields)


HAVE_ENUMS = ("ModelConfigResponse", "HealthCheckResponse")
"""Only written: no request has an enum."""
ANSWERS = [name for name in MESSAGES if name.endswith("Response") and MESSAGES[name]]


@pytest.mark.parametrize("name", ANSWERS)
def test_messages_are_written_and_read_as_a_library_does(name: str) -> None:
    from google.protobuf.json_format import ParseDict
    from google.protobuf.message_factory import GetMessageClass
    from grpc_health.v1 import health_pb2
    from tritonclient.grpc import service_pb2

    file = health_pb2 if name.startswith("HealthCheck") else service_pb2
    kind = GetMessageClass(find_message(file.DESCRIPTOR.pool, name))

    @settings(max_examples=40, deadline=None)
    @given(messages_of(name))
    def check(values: dict[str, Any]) -> None:
        wanted = ParseDict(values, kind())
        assert kind.FromString(encode(name, values)) == wanted
        if name not in HAVE_ENUMS:
            assert kind.FromString(encode(name, decode(name, wanted.SerializeToString()))) == wanted

    check()
