"""What holds for every baked image, looked at from inside and outside of its container."""

from __future__ import annotations

import http.client
import re
import socket
from datetime import datetime
from typing import Any

import pytest

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.docker.containers.containers import running
from prebake.docker.images.images import inspect_image
from prebake.measure import client
from prebake.measure.start import check_answer
from prebake.measure.warmup_request import read_warmup
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.support.commands.projects import Built
from tests.support.serving import Service

IDENTITY = """
import json, os
status = dict(line.split(":\\t", 1) for line in open("/proc/1/status").read().splitlines())
written = []
for folder in ("/", "/tmp", "/app", "/models", "/opt/prebake", "/var/tmp", "/root", "/home"):
    try:
        open(os.path.join(folder, "file"), "w")
        written.append(folder)
    except OSError:
        pass
print(json.dumps({"status": status, "written": written, "environ": open("/proc/1/environ").read().split("\\0")}))
"""

INVENTORY = """
import importlib.util, json, os, shutil
tools = ["gcc", "g++", "cc", "c++", "clang", "tcc", "ld", "as", "make", "nvcc", "pip", "pip3", "git", "curl", "wget"]
modules = ["torch", "transformers", "onnx", "onnxscript", "prebake", "pip", "setuptools", "sympy", "pytest", "jinja2"]
headers, stale, setuid, sizes = {}, [], [], {}
for root in ("/app", "/opt/prebake"):
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".pyc"):
                headers[path] = list(open(path, "rb").read(8)[4:])
            if name.endswith(".py") and not os.path.exists(importlib.util.cache_from_source(path)):
                stale.append(path)
for folder, names, files in os.walk("/"):
    names[:] = [name for name in names if os.path.join(folder, name) not in ("/proc", "/sys", "/dev")]
    for name in files:
        facts = os.lstat(os.path.join(folder, name))
        sizes.setdefault(facts.st_ino, [os.path.join(folder, name), facts.st_size, facts.st_blocks * 512])
        if facts.st_mode & 0o6000:
            setuid.append(os.path.join(folder, name))
print(json.dumps({
    "tools": [tool for tool in tools if shutil.which(tool)],
    "modules": [name for name in modules if importlib.util.find_spec(name)],
    "headers": headers, "stale": stale, "setuid": setuid, "sizes": list(sizes.values()),
}))
"""


@pytest.fixture(params=["minilm", "foley", "heygem", "zimage"])
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def built(request: pytest.FixtureRequest, model: str) -> Built:
    found: Built = request.getfixturevalue(model)
    return found


@pytest.fixture
def service(request: pytest.FixtureRequest, model: str) -> Service:
    found: Service = request.getfixturevalue(f"{model}_service")
    return found


@pytest.fixture(scope="session")
def inventories() -> dict[str, Any]:
    return {}


@pytest.fixture
def inventory(model: str, service: Service, inventories: dict[str, Any]) -> Any:
    """Taken once of each image."""
    if model not in inventories:
        inventories[model] = service.run(INVENTORY)
    return inventories[model]


def test_it_runs_as_nobody_who_may_nothing_and_writes_nowhere(service: Service) -> None:
    found = service.run(IDENTITY)
    assert found["status"]["Uid"].split() == ["65532"] * 4
    assert found["status"]["Gid"].split() == ["65532"] * 4
    for capabilities in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
        assert int(found["status"][capabilities], 16) == 0
    assert found["status"]["NoNewPrivs"] == "1"
    assert found["written"] == []


def test_the_runtime_reports_to_nobody(service: Service, engine: Connection) -> None:
    assert "ORT_DISABLE_TELEMETRY=1" in service.run(IDENTITY)["environ"]
    ports = service.run(
        "import json; lines = [l.split() for f in ('tcp', 'tcp6', 'udp', 'udp6') for l in list(open('/proc/net/' + f))[1:]]\n"
        "print(json.dumps([int(l[1].rpartition(':')[2], 16) for l in lines]))"
    )
    assert set(ports) == {8000}


def test_no_framework_no_compiler_and_no_builder(inventory: Any) -> None:
    assert inventory["tools"] == []
    assert inventory["modules"] == []
    assert [path for path in inventory["setuid"] if path.startswith(("/app", "/opt", "/models"))] == []


def test_python_is_compiled_to_unchecked_hashes(inventory: Any) -> None:
    """The second word of a .pyc's header (PEP 552): 1 is a hash that is not compared with a source."""
    assert len(inventory["headers"]) > 100
    assert {tuple(flags) for flags in inventory["headers"].values()} == {(1, 0, 0, 0)}
    assert inventory["stale"] == []


def test_without_weights_it_takes_at_most_300_mb_unpacked(inventory: Any, built: Built) -> None:
    layers = [layer for layer in built.report["layers"] if layer["kind"] not in ("weights", "derived")]
    assert sum(layer["size"] for layer in layers) <= 300e6
    others = [file for file in inventory["sizes"] if not file[0].endswith(".safetensors")]
    for size in (1, 2):  # as the files say, and as the disk holds them
        assert 100e6 < sum(file[size] for file in others) <= 300e6


def test_the_image_says_what_it_is(built: Built, engine: Connection) -> None:
    config = inspect_image(engine, built.tag).config
    assert config["User"] == "65532:65532"
    assert list(config["ExposedPorts"]) == ["8000/tcp"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"]
    assert labels["dev.prebake.compile-key"] == built.report["keys"]["compile"]


def test_health_in_every_form(service: Service) -> None:
    health = service.get("/health")
    document = health.json()
    assert (health.status_code, document["status"], document["device"]) == (200, "ready", "cpu")
    assert abs((datetime.now().astimezone() - datetime.fromisoformat(document["timestamp"])).total_seconds()) < 3600
    assert service.get("/v2/health/live").status_code == 200
    assert service.get("/v2/health/ready").status_code == 200
    startup = service.get("/startup").json()
    phases = {phase["name"]: phase for phase in startup["phases"]}
    assert {"bind", "verify", "import numpy", "import onnxruntime", "warm-up", "compare"} <= set(phases)
    assert startup["state"] == "ready"
    assert phases["bind"]["start"] < phases["warm-up"]["start"] < startup["ready_seconds"]
    assert startup["extra_files"] == []
    assert service.metric("prebake_ready") == 1
    assert service.metric("prebake_ready_seconds") == pytest.approx(startup["ready_seconds"], abs=0.001)


def test_a_fresh_container_gives_the_reference_answer(built: Built, engine: Connection, service: Service) -> None:
    warmup = read_warmup(EngineLauncher(engine), built.tag)
    reply = client.post(service.port, warmup.request)
    assert check_answer(reply, warmup, built.tag) <= warmup.tolerance


def test_a_body_over_the_limit_is_refused_before_it_is_sent(service: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    connection.putrequest("POST", "/generate")
    connection.putheader("Content-Type", "multipart/form-data; boundary=b")
    connection.putheader("Content-Length", str(10 * 2**30))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    (limit,) = re.findall(rb"larger than (\d+) bytes", response.read())
    assert int(limit) <= 64 * 2**20  # the limit of image.yaml, or less if the fields cannot need as much
    connection.close()
    assert service.is_ready()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "cannot be read"),
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "multipart/form-data"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, "cannot be read"),
    ],
)
def test_a_body_that_is_none(service: Service, arguments: dict[str, Any], status: int, words: str) -> None:
    message, _ = service.refusal(status, **arguments)
    assert words in message


def test_clients_that_hang_up_do_not_stop_it(service: Service) -> None:
    head = b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    for content, length in ((b"", 100), (b'{"texts": "a', 100), (b'{"texts": "a", "prompt": "b"}', 29)):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
            connection.sendall(head % length + content)
    assert service.is_ready()
    assert service.metric("prebake_ready") == 1


def test_it_ends_with_0_when_it_is_asked_to(built: Built, engine: Connection) -> None:
    with running(engine, ContainerSpec(built.tag, ports=[8000], tmpfs={})) as container:
        port = container.address(8000)[1]
        container.wait_until(lambda: ready(port), 60, "readiness")
        assert container.stop(20).exit_code == 0
        assert '"event": "stopped"' in container.logs()


def ready(port: int) -> bool | None:
    try:
        return client.is_ready(port) or None
    except (OSError, http.client.HTTPException):
        return None
