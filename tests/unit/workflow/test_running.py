"""Where stages run: which of them ask the Engine for a GPU."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from prebake.bake.errors import BakeError, write_error
from prebake.checkpoints.store import Store
from prebake.engine.connection import Connection
from prebake.engine.container_spec import docker_options
from prebake.oci.records import Records
from prebake.plan.making import make_plan
from prebake.plan.values import Options, Plan
from prebake.spec.image import Target
from prebake.spec.project import read_project
from prebake.workflow.baking import Oven
from prebake.workflow.running import InContainer, StageDone, StageRun

ROOT = Path(__file__).parents[3]


DONE = StageDone(0, killed=False, log="")


@dataclass
class Recording:
    """A runner that runs nothing, and ends as it is told to."""

    done: StageDone = DONE
    asked: list[StageRun] = field(default_factory=list)

    def run(self, stage: StageRun) -> StageDone:
        self.asked.append(stage)
        stage.place("out").mkdir()
        return self.done


def oven(folder: Path, runner: Recording) -> Oven:
    (folder / "context").mkdir()
    store = Store(folder / "store")
    return Oven(runner, folder / "context", store, Records(store.root), print)


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
    engine = InContainer(Connection("unix:///nowhere", Path("docker")), "image", print)
    asked = docker_options(engine.container(replace(of_artifacts, folder=tmp_path)))["device_requests"]
    assert [each.count for each in asked] == requests
    assert all(each.capabilities == [["gpu"]] for each in asked)
    assert docker_options(engine.container(replace(of_graphs, folder=tmp_path)))["device_requests"] == []


def test_a_stages_error_is_its_own(tmp_path: Path) -> None:
    error = BakeError("net: no such device.", next_action="Compile elsewhere.")
    runner = Recording(StageDone(error.exit_code, killed=False, log=write_error(error)))
    with pytest.raises(BakeError, match="no such device"):
        oven(tmp_path, runner).artifacts(plan_of("cpu"), (), keep_all=False)
