"""Variables whose name no start knows, and the one whose value nothing shows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from entrypoints.settings import RENAMED, VARIABLES, Settings, describe_unknown, find_unknown, read_settings
from prebake.plan.image_config import container_config
from prebake.plan.planner import make_plan
from prebake.plan.values import Options
from prebake.spec.project import read_project
from tests.support.container.running import Start
from tests.support.repository import ROOT

SECRET = "s3cret-f0r-4dmins"


def test_a_name_that_is_no_variable_is_told_once_and_the_start_goes_on(start: Start) -> None:
    server = start(PREBAKE_PROT="8001", PREBAKE_NOTHING_LIKE_IT="secret value", prebake_threads="2")
    server.wait_for("ready")
    (warning,) = server.find_events("unknown variables")
    assert warning["level"] == "warning"
    assert "PREBAKE_PROT is no variable of this container" in warning["text"]
    assert "did you mean PREBAKE_PORT?" in warning["text"]
    assert "did you mean PREBAKE_THREADS?" in warning["text"]
    assert {"PREBAKE_PROT", "PREBAKE_NOTHING_LIKE_IT", "prebake_threads"} <= set(warning["names"])
    assert "secret value" not in server.stderr


def test_every_variable_is_known() -> None:
    assert find_unknown(dict.fromkeys([*VARIABLES, "PATH", "PREBAKED", "XPREBAKE_PORT"], "1")) == []


@pytest.mark.parametrize(
    ("name", "text", "unknown"),
    [
        ("PREBAKE_FOLEY_SERVICE_HOST", "10.0.0.1", False),
        ("PREBAKE_FOLEY_SERVICE_PORT_HTTP", "8000", False),
        ("PREBAKE_FOLEY_PORT", "tcp://10.0.0.1:8000", False),
        ("PREBAKE_FOLEY_PORT_8000_TCP_ADDR", "10.0.0.1", False),
        ("PREBAKE_FOLEY_PORT_8000_TCP", "tcp://10.0.0.1:8000", False),
        ("PREBAKE_FOLEY_PORT", "8000", True),
    ],
)
def test_links_of_kubernetes_to_a_service_are_no_mistakes(name: str, text: str, unknown: bool) -> None:
    assert find_unknown({name: text}) == ([name] if unknown else [])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("PREBAKE_PROT", "PREBAKE_PORT"),
        ("PREBAKE_THREAD", "PREBAKE_THREADS"),
        ("PREBAKE_TIMEOUT", "PREBAKE_START_TIMEOUT"),
        ("PREBAKE_GRACE_PERIODS", "PREBAKE_GRACE_PERIOD"),
        ("PREBAKE_CACHE", None),
        ("PREBAKE_", None),
    ],
)
def test_the_nearest_name_is_said_if_one_is_near(name: str, hint: str | None) -> None:
    text = describe_unknown([name])
    assert (f"did you mean {hint}?" in text) if hint else ("did you mean" not in text)


def test_what_an_image_sets_is_known() -> None:
    config = container_config(make_plan(read_project(ROOT, "minilm"), Options()))
    ours = {name for name in config.env if name.startswith("PREBAKE_")}
    assert "PREBAKE_MODELS" in ours
    assert ours <= set(VARIABLES)
    assert "PREBAKE_PORT" not in ours, "the platform's PORT would never count"


def test_a_start_without_such_a_name_looks_for_none_that_is_near() -> None:
    program = (
        "import sys, entrypoints.settings as s; print(s.find_unknown({'PREBAKE_PORT': '1'}), 'difflib' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["[]", "False"]


def test_earlier_names_are_refused_and_not_told_as_unknown(start: Start) -> None:
    server = start(PREBAKE_GRACE="5")
    assert server.wait() == 78
    assert not server.find_events("unknown variables")
    assert "PREBAKE_GRACE" in RENAMED


def test_the_admin_token_is_shown_nowhere(start: Start) -> None:
    server = start(PREBAKE_ADMIN_TOKEN=SECRET, PREBAKE_ADMIN_TOKN="x", TINY_CODE="import os; print(dict(os.environ))")
    server.wait_for("ready")
    pages = [server.get(path).text for path in ("/", "/health", "/startup", "/metrics")]
    assert not [page for page in pages if SECRET in page]
    assert SECRET not in repr(read_settings({"PREBAKE_ADMIN_TOKEN": SECRET}))
    server.terminate()
    assert server.wait() == 0
    assert SECRET not in server.stderr


def test_the_admin_token_is_read_without_its_end_of_line() -> None:
    assert read_settings({"PREBAKE_ADMIN_TOKEN": f"{SECRET}\n"}).admin_token == SECRET
    assert read_settings({"PREBAKE_ADMIN_TOKEN": " "}) == Settings()
