"""What the command says without doing anything: plans, lists, and what is wrong with an input, all of it at once."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands.projects import Project, change_spec, clone, lock_path, pin_unseen

NOWHERE = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Without an Engine: nothing here may ask for one."""
    return clone(tmp_path / "project", "toy", variables=NOWHERE)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The images of this project; not to be changed."""
    return clone(tmp_path_factory.mktemp("published") / "project", "foley", "minilm", variables=NOWHERE)


def test_a_plan_for_people(project: Project) -> None:
    ended = project.run("--model", "toy", "--plan").expect(0)
    for words in (
        "Toy: image prebake/toy:cpu-small",
        "first/model.safetensors",
        "CC0-1.0",
        "Disk space needed at most",
    ):
        assert words in ended.stdout
    assert ended.stderr == ""
    assert not (project.root / "build").exists()


def test_a_plan_for_programs(published: Project) -> None:
    plan = json.loads(published.run("--model", "foley", "--plan", "--json").expect(0).stdout)
    assert (plan["image"], plan["target"], plan["checkpoint"]) == ("foley", "cpu", "sample")
    assert plan["tag"] == "prebake/foley:cpu-sample"
    kinds = [layer["kind"] for layer in plan["layers"]]
    assert kinds == ["dependencies", "weights", "derived", "derived", "derived", "graphs", "code"]
    assert all(len(layer["key"]) == 64 for layer in plan["layers"])
    assert {"siglip2/model.safetensors", "vae_128d_48k.pth"} <= {file["path"] for file in plan["files"]}
    assert plan["base"]["digest"].startswith("sha256:")
    assert plan["room"]["engine"] > plan["room"]["store"] > 0
    assert not (published.root / "build").exists()


def test_a_plan_shows_what_every_flag_of_the_build_comes_to(project: Project) -> None:
    """``--plan`` beside the words of a real build: each has its line, and none is dropped."""
    words = ("build", "toy", "--plan", "--base", "bootstrap", "--compression", "raw", "--weights", "volume")
    text = project.run(*words, "--output", "oci:layout").expect(0).stdout
    for said in (
        "made from Debian's packages, instead of python:",
        "an image of their own, prebake/toy:cpu-small-weights; compression of layers: raw",
        "output      oci:layout",
        "it is not started",
    ):
        assert said in text
    assert not (project.root / "layout").exists()
    plain = project.run("build", "toy", "--plan", "--starts", "7").expect(0).stdout
    assert "output      docker:prebake/toy:cpu-small, started 7 times for the report" in plain


def test_a_plan_refuses_what_the_build_would(project: Project) -> None:
    for words in (("--output", "oci:"), ("--require-attestations",), ("--tag", "a b")):
        assert project.run("build", "toy", "--plan", *words).code in (10, 16), words


def test_a_plan_says_which_terms_have_to_be_accepted(tmp_path: Path) -> None:
    project = clone(tmp_path / "project", "foley", variables=NOWHERE)
    pin_unseen(project, "foley", "xl")
    words, license = ("build", "foley", "--checkpoint", "xl", "--plan"), "LicenseRef-Tencent-Hunyuan-Community"
    asking = f"you have to accept it: --accept-license {license}"
    assert asking in project.run(*words).expect(0).stdout
    assert asking not in project.run(*words, "--accept-license", license).expect(0).stdout
    assert json.loads(project.run(*words, "--json").expect(0).stdout)["licenses_to_accept"] == [license]


def test_the_same_inputs_give_the_same_plan(project: Project) -> None:
    first, second = (project.run("--model", "toy", "--plan", "--json").stdout for _ in range(2))
    assert first == second


def test_another_target_and_tag(published: Project) -> None:
    words = ("--model", "foley", "--target", "tensorrt", "--tag", "here/foley:1", "--plan", "--json")
    plan = json.loads(published.run(*words).expect(0).stdout)
    assert (plan["target"], plan["tag"]) == ("tensorrt", "here/foley:1")


def test_a_rendered_folder_is_told_to_programs_too(project: Project) -> None:
    ended = project.run("build", "toy", "--render", "rendered", "--json").expect(0)
    assert json.loads(ended.stdout) == {"folder": "rendered"}
    assert (project.root / "rendered/Dockerfile").is_file()


def test_the_list_is_a_matrix_on_one_line(published: Project) -> None:
    ended = published.run("--list", "--json").expect(0)
    assert ended.stdout.count("\n") == 1
    rows = json.loads(ended.stdout)
    assert {(row["model"], row["target"]) for row in rows} == {
        ("foley", "cpu"),
        ("foley", "cuda"),
        ("foley", "tensorrt"),
        ("minilm", "cpu"),
    }
    assert {row["checkpoint"] for row in rows} == {"sample", "published"}
    assert "HunyuanVideo-Foley" in published.run("--list").expect(0).stdout


def test_an_unknown_model_names_the_nearest(published: Project) -> None:
    ended = published.run("--model", "foly").expect(11)
    assert "did you mean `--model foley`?" in ended.stderr
    assert ended.stdout == ""
    assert "there are: foley, minilm" in published.run("--model", "xyz").expect(11).stderr


def test_no_sample_can_be_made_of_what_is_published(published: Project, project: Project) -> None:
    ended = published.run("bench", "minilm", "--checkpoint", "published", "--size", "1GB").expect(12)
    assert "--size needs a checkpoint from sample.py" in ended.stderr
    assert "in published" in ended.stderr
    assert "in small" in project.run("bench", "toy", "--size", "1GB").expect(12).stderr


def test_no_model_at_all(published: Project) -> None:
    assert "--list" in published.run("--plan").expect(11).stderr


def break_spec(document: dict[str, Any]) -> None:
    document["titel"] = document.pop("title")
    document["targets"] = ["gpu"]
    document["checkpoints"]["small"]["sources"][0]["files"] = "first/model.safetensors"
    document["components"]["second"]["derived"] = "yes"


def test_every_problem_of_a_spec_at_once_by_field_and_line(project: Project) -> None:
    change_spec(project, break_spec)
    ended = project.run("--model", "toy", "--plan").expect(12)
    for words in ("titel", "'title'", "targets", "files", "derived", "image.yaml:"):
        assert words in ended.stderr, words
    assert "Traceback" not in ended.stderr


def test_a_target_that_the_image_does_not_have(project: Project) -> None:
    assert "it lists: cpu" in project.run("--model", "toy", "--target", "cuda").expect(12).stderr


def test_a_lock_that_does_not_match_names_every_file(project: Project) -> None:
    def rename(document: dict[str, Any]) -> None:
        source = document["checkpoints"]["small"]["sources"][0]
        source["files"] = ["first/model.safetensors", "third.pth"]
        document["checkpoints"]["small"]["license"]["id"] = "MIT"
        document["base"] = "python:3.12-slim"

    change_spec(project, rename)
    ended = project.run("--model", "toy").expect(13)
    for words in ("third.pth: is missing", "second.pth: is not in image.yaml", "'MIT'", "'python:3.12-slim'"):
        assert words in ended.stderr, words
    assert "prebake lock --model toy" in ended.stderr


@pytest.mark.parametrize("text", [None, "", "{}", "no json", '{"schema": 9}'])
def test_a_lock_that_is_missing_or_broken(project: Project, text: str | None) -> None:
    path = lock_path(project)
    path.unlink() if text is None else path.write_text(text)
    ended = project.run("--model", "toy").expect(13)
    assert "prebake lock --model toy" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_checkpoint_that_there_is_not(project: Project) -> None:
    assert "choose one of: small" in project.run("--model", "toy", "--checkpoint", "large").expect(13).stderr


def test_terms_are_accepted_by_name_before_anything_else(tmp_path: Path) -> None:
    project = clone(tmp_path / "project", "foley", variables=NOWHERE)
    assert "not locked" in project.run("--model", "foley", "--checkpoint", "xl").expect(13).stderr
    pin_unseen(project, "foley", "xl")
    license = "LicenseRef-Tencent-Hunyuan-Community"
    for refused in ((), ("--accept-license", "MIT")):
        ended = project.run("--model", "foley", "--checkpoint", "xl", *refused).expect(14)
        assert f"--accept-license {license}" in ended.stderr
        assert "images/foley/README.md" in ended.stderr
    render = ("--render", str(tmp_path / "rendered"))
    project.run("--model", "foley", "--checkpoint", "xl", *render).expect(14)
    assert not (tmp_path / "rendered").exists()
    # Accepted by flag or variable, the next step is looked at: there is no Engine here.
    project.run("--model", "foley", "--checkpoint", "xl", "--accept-license", license).expect(20)
    project.run("--model", "foley", "--checkpoint", "xl", PREBAKE_ACCEPT_LICENSE=license).expect(20)


def test_rendering_does_not_replace_what_is_somebodys_own(project: Project, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    ended = project.run("--model", "toy", "--render", str(tmp_path / "mine")).expect(30)
    assert "give an empty or new folder" in ended.stderr
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_nothing_to_deploy_before_a_build(project: Project) -> None:
    for words in ((), ("--image", "toy:latest"), ("--image", f"r.invalid/toy@sha256:{'2' * 64}")):
        assert "python build.py --model toy --push" in project.run("deploy", "--model", "toy", *words).expect(44).stderr


def test_an_error_is_coloured_at_a_terminal_unless_it_is_asked_not_to(project: Project) -> None:
    assert show_at_terminal(project).startswith("\x1b[1;31merror:\x1b[0m No image has the name")
    assert show_at_terminal(project, NO_COLOR="1").startswith("error: No image has the name")
    assert show_at_terminal(project, TERM="dumb").startswith("error: No image has the name")


def test_an_error_in_a_log_is_coloured_if_that_is_forced(project: Project) -> None:
    assert project.run("build", "toys").expect(11).stderr.startswith("error: No image")
    forced = project.run("build", "toys", FORCE_COLOR="1").expect(11).stderr
    assert forced.startswith("\x1b[1;31merror:\x1b[0m No image")
    both = project.run("build", "toys", FORCE_COLOR="1", NO_COLOR="1").expect(11).stderr
    assert both.startswith("error: No image")


def show_at_terminal(project: Project, **variables: str) -> str:
    """What a person sees of a mistyped name."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "build.py", "--model", "toys"]
    environment = project.environment(**{"TERM": "xterm", **variables})
    subprocess.run(command, cwd=project.root, env=environment, stdout=theirs, stderr=theirs, check=False)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    return shown


def test_a_reader_that_has_seen_enough_is_no_error_to_speak_of(published: Project) -> None:
    unread, write = os.pipe()
    os.close(unread)
    command = [sys.executable, "build.py", "--model", "foley", "--plan", "--json"]
    ended = subprocess.run(
        command, cwd=published.root, env=published.environment(), stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize("words", [("--modle", "toy"), ("--model", "toy", "--target", "tpu"), ("bake",), ()])
def test_a_command_line_that_is_none_is_argparses_to_explain(project: Project, words: tuple[str, ...]) -> None:
    ended = project.run(*words).expect(2)
    assert ended.stderr.startswith("usage: prebake")
