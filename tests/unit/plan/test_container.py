"""The image's configuration on top of a base's, as a Dockerfile's instructions would leave it."""

from __future__ import annotations

from prebake.plan.image_config import ContainerConfig

OURS = ContainerConfig({"PYTHONPATH": "/app", "PREBAKE_PORT": "8000"}, {"title": "ours"})


def test_variables_of_the_base_stay_unless_ours_replace_them() -> None:
    config = OURS.over({"Env": ["PATH=/bin", "PYTHONPATH=/theirs", "LANG=C"]})
    assert config["Env"] == ["PATH=/bin", "LANG=C", "PYTHONPATH=/app", "PREBAKE_PORT=8000"]


def test_what_the_base_says_about_itself_is_not_said_of_the_image() -> None:
    labels = {"org.opencontainers.image.version": "22.04", "org.opencontainers.image.source": "https://base.example"}
    assert OURS.over({"Labels": {**labels, "maintainer": "them"}})["Labels"] == {"maintainer": "them", "title": "ours"}


def test_the_bases_command_goes_and_the_rest_stays() -> None:
    base = {"Cmd": ["python3"], "WorkingDir": "/work", "Labels": {"title": "theirs", "kept": "yes"}, "StopSignal": ""}
    config = OURS.over({**base, "ExposedPorts": {"80/tcp": {}}})
    assert "Cmd" not in config
    assert "StopSignal" not in config
    assert config["WorkingDir"] == "/work"
    assert config["Labels"] == {"title": "ours", "kept": "yes"}
    assert config["ExposedPorts"] == {"80/tcp": {}, "8000/tcp": {}}
    assert (config["User"], config["Entrypoint"][0]) == ("65532:65532", "python3")
