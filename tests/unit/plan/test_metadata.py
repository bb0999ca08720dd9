"""What an image says about itself: times, labels, and that none of it is a layer's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prebake.errors import PrebakeError
from prebake.plan.image_config import container_config
from prebake.plan.image_metadata import (
    LabelsInvalid,
    Metadata,
    SourceDateInvalid,
    read_labels,
    read_source_date,
    rfc3339,
)
from prebake.plan.planner import make_plan
from prebake.plan.values import Options
from prebake.spec.project import Project

OCI = "org.opencontainers.image"
ALL = Metadata(1_700_000_000, "https://host.example/a/b", "c" * 40, False, "v1.2", "refs/tags/v1.2", {"team": "a b"})


@pytest.mark.parametrize(("text", "seconds"), [(None, None), ("", None), ("0", 0), ("1700000000", 1_700_000_000)])
def test_a_source_date_is_seconds_and_may_be_missing(text: str | None, seconds: int | None) -> None:
    assert read_source_date(text) == seconds


@pytest.mark.parametrize("text", ["yesterday", "-1", "1.5", "1e9", " 1", "0x10", "２０", "9" * 12, "9" * 40])
def test_any_other_source_date_is_refused_by_name(text: str) -> None:
    with pytest.raises(SourceDateInvalid) as caught:
        read_source_date(text)
    assert "SOURCE_DATE_EPOCH" in caught.value.message
    assert text in caught.value.message


def test_times_are_rfc_3339_in_utc() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00Z"
    assert rfc3339(1_700_000_000) == "2023-11-14T22:13:20Z"
    assert rfc3339(253402300799) == "9999-12-31T23:59:59Z"


def test_labels_are_taken_as_docker_takes_them() -> None:
    given = read_labels(["a=", "com.example/team=x=y z", f"{OCI}.vendor=ACME", f"{OCI}.source=https://x.example", "a="])
    assert given == {
        "a": "",
        "com.example/team": "x=y z",
        f"{OCI}.vendor": "ACME",
        f"{OCI}.source": "https://x.example",
    }


def test_every_label_that_cannot_be_given_is_named_at_once() -> None:
    wrong = [
        "plain",
        "=value",
        "a b=1",
        "two=1",
        "two=2",
        "line=a\nb",
        f"{OCI}.title=x",
        f"{OCI}.licenses=MIT",
        f"{OCI}.created=now",
        f"{OCI}.base.digest=sha256:0",
        "dev.prebake.export-key=0",
    ]
    with pytest.raises(LabelsInvalid) as caught:
        read_labels([*wrong, "right=1"])
    named = {problem.where for problem in caught.value.problems}
    assert named == {f"--label {text!r}" for text in wrong if text != "two=1"}
    assert "`title`" in caught.value.message
    assert "SOURCE_DATE_EPOCH" in caught.value.message
    assert isinstance(caught.value, PrebakeError)


def test_labels_of_the_command_line_replace_those_of_git() -> None:
    metadata = replace(ALL, given={f"{OCI}.version": "2"})
    assert metadata.labels == {
        f"{OCI}.created": "2023-11-14T22:13:20Z",
        f"{OCI}.source": "https://host.example/a/b",
        f"{OCI}.revision": "c" * 40,
        f"{OCI}.version": "2",
    }
    assert replace(ALL, dirty=True).labels[f"{OCI}.revision"] == "c" * 40 + "-dirty"
    assert Metadata().labels == {}


def test_a_commit_changes_no_layer_and_no_key_and_is_in_config_and_annotations(project: Project) -> None:
    plain = make_plan(project, Options())
    told = make_plan(project, Options(metadata=ALL))
    assert told.layers == plain.layers
    assert (told.export_key, told.compile_key) == (plain.export_key, plain.compile_key)
    assert told.context == plain.context
    config = container_config(told)
    assert config.labels == {**container_config(plain).labels, **ALL.labels}
    assert config.annotations[f"{OCI}.revision"] == "c" * 40
    assert config.annotations[f"{OCI}.licenses"] == "MIT"
    assert "team" not in config.annotations
    assert config.stable_labels == {
        **container_config(plain).labels,
        "team": "a b",
        f"{OCI}.source": "https://host.example/a/b",
    }


def test_a_title_and_a_description_become_one_line(project: Project) -> None:
    spec = project.spec.model_copy(update={"title": "A\ttitle", "description": "One\nand\u2028two.\n"})
    labels = container_config(make_plan(replace(project, spec=spec), Options())).labels
    assert labels[f"{OCI}.title"] == "A title"
    assert labels[f"{OCI}.description"] == "One and two."
