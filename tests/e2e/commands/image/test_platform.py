"""``--platform``: told in the plan, and refused where this Engine cannot meet it."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from prebake.docker.connection import Connection
from prebake.docker.platform import PlatformUnavailable, engine_platform
from prebake.oci.platforms import normalize_platform
from tests.support.commands.projects import Project

OTHER = {"linux/amd64": "linux/arm64", "linux/arm64": "linux/amd64"}


@pytest.fixture
def own(engine: Connection) -> str:
    """The platform of the Engine, as the daemon says it of an image that it has built for itself."""
    with closing(engine.client()) as client:
        version = client.version()
    return f"{version['Os']}/{version['Arch']}"


def test_the_plan_tells_the_platform(project: Project, own: str) -> None:
    assert f"  platform    {own}\n" in project.run("build", "toy", "--plan").expect(0).stdout
    for words in ([], ["--platform", own], ["--platform", own.replace("amd64", "x86_64").replace("arm64", "aarch64")]):
        plan = json.loads(project.run("build", "toy", "--plan", "--json", *words).expect(0).stdout)
        assert plan["platform"] == own


def test_another_platform_is_refused_before_anything_is_done(project: Project, own: str) -> None:
    other = OTHER[own]
    for words in (["--plan"], []):
        ended = project.run("build", "toy", "--platform", other, *words).expect(PlatformUnavailable.exit_code)
        assert f"--platform {other}: this Engine builds and starts images for {own}." in ended.stderr
        assert "DOCKER_HOST" in ended.stderr
        assert not (project.root / "build" / "toy" / "context").exists()
    project.run("build", "toy", DOCKER_DEFAULT_PLATFORM=other).expect(PlatformUnavailable.exit_code)


def test_where_no_engine_answers_the_plan_says_what_is_asked_for(project: Project) -> None:
    nowhere = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    words = ("build", "toy", "--plan", "--platform", "linux/arm64")
    assert "  platform    linux/arm64\n" in project.run(*words, **nowhere).expect(0).stdout
    assert "no Engine answers here" in project.run("build", "toy", "--plan", **nowhere).expect(0).stdout


def test_a_platform_has_one_spelling(engine: Connection) -> None:
    for text in ("linux/amd64", "linux/x86_64", "amd64", "Linux/AMD64", "linux/amd64/v1"):
        assert normalize_platform(text) == "linux/amd64"
    assert normalize_platform("linux/aarch64") == normalize_platform("linux/arm64/v8") == "linux/arm64"
    assert normalize_platform("linux/amd64/v3") == "linux/amd64/v3"
    assert normalize_platform(engine_platform(engine)) == engine_platform(engine)
