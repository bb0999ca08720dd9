"""An image whose code imports scipy and scikit-learn: built, started and asked, by the real command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from prebake.docker.connection import Connection
from prebake.docker.containers.container_spec import ContainerSpec
from prebake.docker.containers.containers import run_to_end
from tests.support.commands.built_images import image_name
from tests.support.commands.projects import Built, Project, clone, reach
from tests.support.repository import ROOT

SCIENCE = ROOT / "tests" / "support" / "science"
FIGURES = {"gamma": 24.0, "peaks": [1, 3], "labels": [1, 0], "rows": 150, "f2py": "numpy.f2py"}


def scientific(project: Project) -> Project:
    """The toy, its code with those imports in front of it."""
    folder = project.root / "images" / "toy"
    shutil.copy(SCIENCE / "cpu.txt", folder / "requirements" / "cpu.txt")
    code = (folder / "model.py").read_text()
    first = "from __future__ import annotations\n"
    (folder / "model.py").write_text(code.replace(first, first + (SCIENCE / "imports.py").read_text(), 1))
    return project


@pytest.fixture(scope="module")
def built(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    project = scientific(clone(tmp_path_factory.mktemp("science") / "project", "toy", variables=reach(engine)))
    with image_name(engine) as tag:
        ended = project.run("--model", "toy", "--tag", tag).expect(0)
        yield Built(project, "toy", tag, ended, project.report("toy"))


def test_it_starts_and_answers(built: Built) -> None:
    """A build ends well only if the container started and gave the framework's answer; model.py imports all of it."""
    assert "starts" in built.report
    assert built.report["answer_difference"] <= 1e-5


def test_what_is_imported_computes_as_the_image_s_user(engine: Connection, built: Built) -> None:
    code = f"{(SCIENCE / 'imports.py').read_text()}\nimport json; print(json.dumps(FIGURES))"
    spec = ContainerSpec(built.tag, ["-S", "-c", code], ["python3"], tmpfs={}, network="none")
    ended, log = run_to_end(engine, spec, seconds=300)
    assert ended.exit_code == 0, log
    assert json.loads(log.splitlines()[-1]) == FIGURES


def test_tests_that_nobody_needs_are_not_shipped(engine: Connection, built: Built) -> None:
    code = "import pathlib; print(*sorted(str(each) for each in pathlib.Path('/opt/prebake').glob('*/*/tests')))"
    _, log = run_to_end(engine, ContainerSpec(built.tag, ["-S", "-c", code], ["python3"]), seconds=60)
    assert "/opt/prebake/scipy/stats/tests" not in log.split()
    assert "/opt/prebake/sklearn/cluster/tests" not in log.split()


def test_installed_distributions_can_be_listed(engine: Connection, built: Built) -> None:
    code = "from importlib.metadata import distributions as d; print(*sorted(each.metadata['Name'] for each in d()))"
    _, log = run_to_end(engine, ContainerSpec(built.tag, ["-S", "-c", code], ["python3"]), seconds=60)
    assert {"numpy", "scipy", "scikit-learn", "joblib"} <= set(log.split())
