"""Which baselines do the same work as the image, which names are a registry's, and how a revision is built."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import prebake
from prebake.docker.connection import Connection
from prebake.docker.images.images import ImageFacts
from prebake.errors import Interrupted
from prebake.io.log import silent
from prebake.measure.client import Request
from prebake.measure.gate.errors import BaselineUnusable
from prebake.measure.warmup_request import WarmupRequest
from prebake.oci.reference import Reference
from prebake.plan.values import Options
from prebake.workflow.benchmark import baseline as module
from prebake.workflow.benchmark import revision as revisions
from prebake.workflow.benchmark.baseline import Baseline, _registry_reference, get_baseline, require_comparable
from prebake.workflow.benchmark.revision import Revision, build_revision, find_revision, image_tag, is_ref
from prebake.workflow.requests import BuildRequest

BASELINE = Baseline("toy:before", "tag", "toy:before")
WARMUP = WarmupRequest(Request({"prompt": "x"}), b'{"values": [1.0, 2.0]}', "application/json", 0.01)
NOWHERE = Connection("unix:///nowhere", Path("docker"))
REQUEST = BuildRequest(Path(), "toy")
REVISION = Revision(Path(), "0" * 40, "")


def compare(theirs: dict[str, WarmupRequest], *, other_answers: bool = False) -> None:
    require_comparable(BASELINE, {"toy": WARMUP}, theirs, other_answers=other_answers)


def test_answers_within_the_tolerance_are_the_same() -> None:
    compare({"toy": replace(WARMUP, answer=b'{"values": [1.005, 2.0]}')})


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (replace(WARMUP, answer=b'{"values": [1.5, 2.0]}'), r"another answer to the same request \(by 0.5"),
        (replace(WARMUP, answer=b'{"values": [1.0]}'), r"another answer to the same request \(by inf"),
        (replace(WARMUP, request=Request({"prompt": "y"})), r"another warm-up request \(fields prompt\)"),
        (replace(WARMUP, request=Request({"prompt": "x", "seed": "1"})), r"another warm-up request \(fields seed\)"),
        (replace(WARMUP, media_type="text/plain"), "text/plain, not application/json"),
    ],
)
def test_other_work_is_refused_unless_it_is_allowed(other: WarmupRequest, reason: str) -> None:
    with pytest.raises(BaselineUnusable, match=rf"toy:before does other work at its start:\n  toy: .*{reason}"):
        compare({"toy": other})
    compare({"toy": other}, other_answers=True)


def test_another_model_is_always_refused() -> None:
    with pytest.raises(BaselineUnusable, match="another model: foley, not toy"):
        compare({"foley": WARMUP}, other_answers=True)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("ghcr.io/me/toy:main", "ghcr.io"),
        ("localhost:5000/toy", "localhost:5000"),
        (f"registry.example.com/toy@sha256:{'0' * 64}", "registry.example.com"),
        ("docker.io/me/toy:v1", "docker.io"),
        ("prebake/toy:cpu-sample", None),
        ("feature/faster-start", None),
        ("main", None),
        ("HEAD~1", None),
        ("v1.0^{}", None),
    ],
)
def test_a_name_with_a_host_is_a_registrys(name: str, host: str | None) -> None:
    found = _registry_reference(name)
    assert (found.host if found else None) == host


def test_a_tag_that_the_build_moves_does_not_move_the_baseline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Engine's names are a dictionary; what a real Engine does with them is tested in tests/e2e/commands/test_gate.py."""
    names = {"prebake/toy:cpu-sample": "sha256:" + "a" * 64}

    def inspect(_: Connection, name: str) -> ImageFacts:
        return ImageFacts(name, names[name], 0, (), {})

    monkeypatch.setattr(module, "has_image", lambda _, name: name in names)
    monkeypatch.setattr(module, "inspect_image", inspect)
    monkeypatch.setattr(module, "tag_image", lambda _, name, tag: names.update({tag: names[name]}))
    request = BuildRequest(Path(), "toy")
    found = get_baseline(Connection("unix:///nowhere", Path("docker")), "prebake/toy:cpu-sample", request, silent)
    names["prebake/toy:cpu-sample"] = "sha256:" + "b" * 64  # as the build does it
    assert names[found.image] == "sha256:" + "a" * 64
    assert (found.given, found.kind) == ("prebake/toy:cpu-sample", "tag")


def git(root: Path, *words: str) -> str:
    own = ("-c", "user.name=t", "-c", "user.email=t@invalid", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *own, *words], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project that does not contain Prebake."""
    image = tmp_path / "images" / "toy" / "image.yaml"
    image.parent.mkdir(parents=True)
    image.write_text("")
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return tmp_path


def test_images_of_one_commit_that_may_differ_have_different_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = {
        image_tag(REVISION, REQUEST),
        image_tag(replace(REVISION, commit="1" * 40), REQUEST),
        image_tag(replace(REVISION, folder="sounds/"), REQUEST),
        image_tag(REVISION, replace(REQUEST, model="foley")),
        image_tag(REVISION, replace(REQUEST, base="bootstrap")),
        image_tag(REVISION, replace(REQUEST, options=Options(target="cuda"))),
        image_tag(REVISION, replace(REQUEST, options=Options(checkpoint="sample"))),
        image_tag(REVISION, replace(REQUEST, options=Options(checkpoint="cpu-sample"))),
        image_tag(REVISION, replace(REQUEST, model="toy-cpu", options=Options(checkpoint="sample"))),
    }
    before = image_tag(REVISION, REQUEST)
    monkeypatch.setattr(prebake, "__version__", "0.0.0")  # a project without Prebake is built by the one that runs
    tags.add(image_tag(REVISION, REQUEST))
    assert len(tags) == 10
    assert all(re.fullmatch(r"\w[\w.-]{0,127}", tag) for tag in tags)
    monkeypatch.undo()
    assert image_tag(REVISION, replace(REQUEST, options=Options(tag="other:tag"))) == before


def test_branches_whose_names_look_alike_have_a_tag_for_each_commit(root: Path) -> None:
    git(root, "branch", "a/b")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "second")
    git(root, "branch", "a-b")
    revisions = [found for name in ("a/b", "a-b") if (found := find_revision(root, name))]
    assert len({image_tag(revision, REQUEST) for revision in revisions}) == 2


def test_a_branch_whose_name_looks_like_a_registrys_image_is_a_revision(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only without a tag and a digest. Of a name that is none of git's, the registry is asked."""
    git(root, "branch", "v1.2/x")
    git(root, "tag", "v1.2/y")
    git(root, "update-ref", "refs/remotes/my.fork/main", "HEAD")
    pulled: list[str] = []
    monkeypatch.setattr(module, "has_image", lambda _, name: name.startswith("prebake/baseline:"))

    def pull(_: Connection, reference: Reference, *rest: object) -> tuple[str, str]:
        pulled.append(str(reference))
        return "pulled", "sha256:0"

    monkeypatch.setattr(module, "pull_image", pull)
    request, lines = replace(REQUEST, root=root), list[str]()
    for name in ("v1.2/x", "v1.2/y", "my.fork/main"):
        assert is_ref(root, name)
        assert get_baseline(NOWHERE, name, request, lines.append).revision == git(root, "rev-parse", "HEAD")
    assert "baseline: v1.2/x is a branch or tag of git here; v1.2/x:latest would be an image at v1.2" in lines
    abbreviated = f"v1.2/toy-g{git(root, 'rev-parse', '--short', 'HEAD')}"  # git takes it for the commit after "-g"
    assert find_revision(root, abbreviated)
    images = ["v1.2/x:latest", f"v1.2/x@sha256:{'0' * 64}", "v1.2/z", abbreviated]
    assert {get_baseline(NOWHERE, name, request, silent).kind for name in images} == {"registry"}
    assert pulled == images


def test_the_baseline_is_built_on_the_base_of_the_image(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[BuildRequest] = []
    monkeypatch.setattr(revisions, "build_image", lambda request, _: built.append(request))
    revision = find_revision(root, "main")
    assert revision is not None
    build_revision(revision, replace(REQUEST, root=root, base="bootstrap"), "toy:before", silent)
    assert [(request.base, request.options.tag) for request in built] == [("bootstrap", "toy:before")]


def test_an_interrupted_build_is_no_unusable_baseline_and_leaves_no_worktree(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted("Stopped by SIGTERM.", next_action="run it again")

    monkeypatch.setattr(revisions, "build_image", interrupt)
    monkeypatch.setattr("prebake.workflow.benchmark.baseline.has_image", lambda *_: False)
    with pytest.raises(Interrupted):
        get_baseline(NOWHERE, "main", replace(REQUEST, root=root), silent)
    assert git(root, "worktree", "list", "--porcelain").count("worktree ") == 1


def test_an_interrupted_checkout_leaves_no_worktree(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes when git has made the worktree and has not ended."""
    plain = revisions._git

    def interrupt(place: Path, *words: str, check: bool = False) -> str | None:
        done = plain(place, *words, check=check)
        if words[:2] == ("worktree", "add"):
            raise KeyboardInterrupt
        return done

    revision = find_revision(root, "main")
    assert revision is not None
    monkeypatch.setattr(revisions, "_git", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_revision(revision, replace(REQUEST, root=root), "toy:before", silent)
    assert git(root, "worktree", "list", "--porcelain").count("worktree ") == 1
