"""Where stages run: which of them ask the Engine for a GPU."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from prebake.bake.errors import BakeError, ParityFailed, to_document
from prebake.checkpoints.store.store import Store
from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import docker_options
from prebake.documents.stage_error import ERROR_FILE, MAX_ERROR_BYTES
from prebake.documents.stage_events import EVENTS_FILE, StageEvent
from prebake.errors import BuildFailed, Problem
from prebake.oci.records.layer_records import Records
from prebake.plan.planner import make_plan
from prebake.plan.values import Options, Plan
from prebake.spec.image.image import Target
from prebake.spec.project import read_project
from prebake.workflow.layers.layer_store import store_tree
from prebake.workflow.stages.executor import ContainerRunner, StageExecutor, StageResult, StageRun
from tests.support.repository import ROOT

DONE = StageResult(0, killed=False, output="")


@dataclass
class Recording:
    """A runner that runs nothing, and ends as it is told to."""

    done: StageResult = DONE
    error: bytes = b""
    events: bytes = b""
    asked: list[StageRun] = field(default_factory=list)

    def run(self, stage: StageRun) -> StageResult:
        self.asked.append(stage)
        out = stage.host_path("out")
        out.mkdir()
        for name, content in ((ERROR_FILE, self.error), (EVENTS_FILE, self.events)):
            if content:
                (out / name).write_bytes(content)
        return self.done


def oven(folder: Path, runner: Recording) -> StageExecutor:
    (folder / "context").mkdir()
    store = Store(folder / "store")
    return StageExecutor(runner, folder / "context", store, Records(store.root), print)


def plan_of(target: Target) -> Plan:
    """Without files: nothing of it has to be in a store."""
    return replace(make_plan(read_project(ROOT, "foley"), Options(target)), files=())


@pytest.mark.parametrize(("target", "requests"), [("cpu", []), ("cuda", [-1]), ("tensorrt", [-1])])
def test_what_is_compiled_for_a_gpu_gets_the_machines(tmp_path: Path, target: Target, requests: list[int]) -> None:
    runner = Recording()
    baker = oven(tmp_path, runner)
    baker.artifacts(plan_of(target), (), keep_all=True)
    baker.compile(plan_of(target), (), "ab" * 32)
    of_artifacts, of_graphs = runner.asked
    assert of_artifacts.arguments[0] == "artifacts"
    assert "--keep-all" in of_artifacts.arguments
    engine = ContainerRunner(Connection("unix:///nowhere", Path("docker")), "image", print)
    asked = docker_options(engine.container(replace(of_artifacts, folder=tmp_path)))["device_requests"]
    assert [each.count for each in asked] == requests
    assert all(each.capabilities == [["gpu"]] for each in asked)
    assert docker_options(engine.container(replace(of_graphs, folder=tmp_path)))["device_requests"] == []


def test_a_stages_error_is_its_own(tmp_path: Path) -> None:
    error = BakeError("net: no such device.", next_action="Compile elsewhere.")
    runner = Recording(StageResult(error.exit_code, killed=False, output=""), to_document(error).to_json())
    with pytest.raises(BakeError, match="no such device"):
        oven(tmp_path, runner).artifacts(plan_of("cpu"), (), keep_all=False)


def test_every_problem_of_a_stages_error_arrives(tmp_path: Path) -> None:
    error = ParityFailed("two differ:", [Problem("clap", "0.1 apart"), Problem("dac", "0.2 apart")], next_action="look")
    runner = Recording(StageResult(error.exit_code, killed=False, output=""), to_document(error).to_json())
    with pytest.raises(ParityFailed) as caught:
        oven(tmp_path, runner).artifacts(plan_of("cpu"), (), keep_all=False)
    assert caught.value.problems == error.problems
    assert caught.value.message == error.message


@pytest.mark.parametrize("document", [b"", b"{", b'{"schema": 99}', b" " * (MAX_ERROR_BYTES + 1)])
def test_without_an_error_document_the_end_of_the_log_is_shown(tmp_path: Path, document: bytes) -> None:
    runner = Recording(StageResult(25, killed=False, output="a line\nerror: prose\n  next: more prose"), document)
    with pytest.raises(BuildFailed, match="The artifacts stage failed:\n  a line\n  error: prose"):
        oven(tmp_path, runner).artifacts(plan_of("cpu"), (), keep_all=False)


def test_events_are_logged_and_are_no_product_of_the_stage(tmp_path: Path) -> None:
    event = StageEvent("component_compiled", "net", "compiled, all of it", {"direct": 3})
    runner = Recording(events=event.to_json() + b"no event\n" + event.to_json())
    lines: list[str] = []
    baker = replace(oven(tmp_path, runner), log=lines.append)
    assert baker.artifacts(plan_of("cpu"), (), keep_all=False) == ()
    assert lines[:2] == ["artifacts: net: compiled, all of it"] * 2


def test_what_a_stage_prints_is_no_event(tmp_path: Path) -> None:
    runner = Recording(StageResult(0, killed=False, output="net: compiled, by the words of a package"))
    lines: list[str] = []
    replace(oven(tmp_path, runner), log=lines.append).artifacts(plan_of("cpu"), (), keep_all=False)
    assert not any("by the words" in line for line in lines)


@pytest.mark.parametrize("place", ["models/leak", "leak"])
def test_a_link_that_a_stage_leaves_is_not_followed(tmp_path: Path, place: str) -> None:
    """The builder would read a file of its own machine, and push it."""
    secret, folder = tmp_path / "secret", tmp_path / "out"
    secret.write_text("of the builder")
    (folder / "models").mkdir(parents=True)
    (folder / place).symlink_to(secret)
    with pytest.raises(BuildFailed, match=f"neither files nor folders: {place}"):
        store_tree(folder, Store(tmp_path / "store"))
    assert secret.read_text() == "of the builder"
    assert not list((tmp_path / "store").rglob("*secret*"))
