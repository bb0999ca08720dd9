"""docs/reference/environment.md lists every environment variable that the tool and the container read."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from entrypoints.errors import SettingsFault
from entrypoints.server.tracing.settings import VARIABLES as TELEMETRY
from entrypoints.settings import (
    A_PATH,
    OTHER_NAMES,
    RENAMED,
    SECRETS,
    TRACE_ENDPOINTS,
    VARIABLES,
    Settings,
    read_settings,
)
from tools.reference.container_variables import CONTAINER, MEANINGS, PRESET, ContainerVariable
from tools.reference.environment import TOOL
from tools.reference.pages import ROOT

TOOL_NAMES = {name for each in TOOL for name in each.names}
CONTAINER_NAMES = {
    *(each.name for each in CONTAINER),
    *RENAMED,
    *OTHER_NAMES["PREBAKE_PORT"],
    *TRACE_ENDPOINTS,
    *SECRETS,
}
NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|CXX|NETRC|PORT")
NO_VARIABLES = {
    "BLOB_UNKNOWN": "an error code of registries",
    "DEBIAN_FRONTEND": "given to apt and dpkg",
    "GIT_DIR": "kept from git",
    "GIT_INDEX_FILE": "kept from git",
    "GIT_PREFIX": "kept from git",
    "GIT_WORK_TREE": "kept from git",
    "GRPC_ENABLE_FORK_SUPPORT": "given to gRPC's core",
    "GRPC_VERBOSITY": "given to gRPC's core",
    "HF_HUB_OFFLINE": "given to the stages; the hub's library reads it",
    "LC_ALL": "given to apt and dpkg",
    "MANIFEST_BLOB_UNKNOWN": "an error code of registries",
    "OPENBLAS_NUM_THREADS": "given to OpenBLAS",
    "OPENBLAS_THREAD_TIMEOUT": "given to OpenBLAS",
    "ORT_DISABLE_TELEMETRY": "given to the stages",
    "TORCHINDUCTOR_CACHE_DIR": "given to torch",
    "USER_INPUT": "a kind of input of torch.export",
    "VERSION_CODENAME": "a field of os-release",
}
"""Names that stand beside ``os.environ`` and are not read from it, with what they are."""


GIVEN_TO_CONTAINERS = {"PREBAKE_HOST", "PREBAKE_PORT"}
"""Variables of the container that `prebake run` sets, or refuses to set."""


def names_beside_environ(folder: str) -> Iterator[str]:
    """Every string in the form of a variable, in each module that uses ``environ``."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if re.search(r"\benviron\b", text):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
                    yield node.value


@pytest.mark.parametrize(("folder", "listed"), [("prebake", TOOL_NAMES), ("entrypoints", CONTAINER_NAMES)])
def test_every_variable_that_is_read_is_listed_and_no_other(folder: str, listed: set[str]) -> None:
    read = set(names_beside_environ(folder)) - set(NO_VARIABLES)
    if folder == "prebake":
        read -= GIVEN_TO_CONTAINERS
    assert listed == read, "tools/reference/environment.py"


def test_names_that_are_no_variables_are_in_the_code() -> None:
    assert set(NO_VARIABLES) <= {*names_beside_environ("prebake"), *names_beside_environ("entrypoints")}


class Recorder(dict[str, str]):
    """An environment that records which variables are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)


def test_the_container_reads_exactly_the_listed_variables() -> None:
    environ = Recorder()
    assert read_settings(environ) == Settings()
    assert environ.read == {*(each.name for each in CONTAINER), *OTHER_NAMES["PREBAKE_PORT"], *TRACE_ENDPOINTS}
    assert set(MEANINGS) == set(VARIABLES)
    assert {each.setting for each in CONTAINER} | {"telemetry"} == set(Settings._fields)


def test_opentelemetrys_variables_are_read_only_if_an_endpoint_is_set() -> None:
    other = {"OTEL_SERVICE_NAME": "mine", "OTEL_EXPORTER_OTLP_HEADERS": "key=secret"}
    assert read_settings(other).telemetry == ()
    for name in TRACE_ENDPOINTS:
        settings = read_settings({**other, name: "http://collector:4318", "OTEL_TRACES_SAMPLER": "", "HOME": "/"})
        assert dict(settings.telemetry) == {**other, name: "http://collector:4318"}
        assert "secret" not in repr(settings)
    assert {*TRACE_ENDPOINTS, *SECRETS} - {"PREBAKE_ADMIN_TOKEN"} <= set(TELEMETRY)


@pytest.mark.parametrize("variable", CONTAINER, ids=[each.name for each in CONTAINER])
def test_the_container_accepts_the_listed_values_and_no_others(variable: ContainerVariable) -> None:
    match variable.values:
        case str() if isinstance(getattr(Settings(), variable.setting), int):
            assert getattr(read_settings({variable.name: "512Mi"}), variable.setting) == 512 * 2**20
            for text in ("x", "-1", "5 Mi", "1.5Gi"):
                with pytest.raises(SettingsFault):
                    read_settings({variable.name: text})
        case str() if variable.values == A_PATH:
            assert getattr(read_settings({variable.name: "/x"}), variable.setting) == "/x"
            with pytest.raises(SettingsFault):
                read_settings({variable.name: "x"})
        case str():
            assert getattr(read_settings({variable.name: "x"}), variable.setting) in ("x", ("x",))
        case (int(smallest), int(largest)):
            assert getattr(read_settings({variable.name: str(largest)}), variable.setting) == largest
            read_settings({variable.name: str(smallest)})
            for outside in (smallest - 1, largest + 1):
                with pytest.raises(SettingsFault):
                    read_settings({variable.name: str(outside)})
        case words:
            assert [getattr(read_settings({variable.name: str(word)}), variable.setting) for word in words] == list(
                words
            )
            with pytest.raises(SettingsFault):
                read_settings({variable.name: "x"})


def test_a_start_sets_the_listed_variables_for_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own: it changes the interpreter, too."""
    names = [name for name, _, _ in PRESET]
    program = f"import os; from entrypoints.serve import prepare_interpreter as p; p(); print([os.environ[n] for n in {names}])"
    for name in names:
        monkeypatch.delenv(name, raising=False)
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert ast.literal_eval(printed) == [value for _, value, _ in PRESET]
    assert set(re.findall(r'setdefault\("(\w+)"', (ROOT / "entrypoints/serve.py").read_text(encoding="utf-8"))) == set(
        names
    )
