"""What the bake times and compares is opened as the container opens it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest

from entrypoints.components.opener import Opener
from entrypoints.files.verification import Verification
from entrypoints.hardware.cpu_quota import count_cpus
from entrypoints.hardware.facts import find_facts
from entrypoints.hardware.int8_saturation import EXACT_PRODUCTS_OPTION
from entrypoints.manifest.reader import read_manifest
from entrypoints.manifest.values import Manifest
from entrypoints.manifest.values import OnnxComponent as Served
from entrypoints.processes.timeline import Timeline
from entrypoints.runtime.onnx_session import OnnxSession
from entrypoints.runtime.session_options import share_arena
from prebake.bake.graphs.sessions import open_graph
from prebake.bake.model_folder.export_folder import read_inputs
from prebake.bake.parity.compare import open_for_comparison
from prebake.bake.stages import compile_artifacts as artifacts_stage
from prebake.bake.stages.compile_artifacts import compile_artifacts
from prebake.bake.trials import trial
from prebake.documents.artifact import ARTIFACT_FILE, ArtifactFile, add_artifacts
from prebake.documents.component import ComponentSettings, SessionSettings
from prebake.documents.manifest.validation import seal_manifest
from prebake.documents.settings import StageSettings
from tests.support.bake.host_bake import compile_folder

CPU = "CPUExecutionProvider"
ENTRIES = (
    "session.use_env_allocators",
    "session.intra_op.allow_spinning",
    "session.disable_prepacking",
    "session.disable_model_compile",
    "session.model_external_initializers_file_folder_path",
    EXACT_PRODUCTS_OPTION,
)
Facts = dict[str, object]


def read_options(session: onnxruntime.InferenceSession) -> Facts:
    """The options that an opened session has, as ONNX Runtime tells them."""
    options = session.get_session_options()
    return {
        "threads": options.intra_op_num_threads,
        "memory pattern": options.enable_mem_pattern,
        "arena": options.enable_cpu_mem_arena,
        "level": options.graph_optimization_level,
        "severity": options.log_severity_level,
        "providers": session.get_providers(),
        **{name: read_entry(options, name) for name in ENTRIES},
    }


def read_entry(options: onnxruntime.SessionOptions, name: str) -> str | None:
    try:
        return str(options.get_session_config_entry(name))
    except RuntimeError:  # which is how ONNX Runtime says that it was not set
        return None


def serve(models: Path, manifest: Manifest, name: str) -> Facts:
    """The options of the session that a container opens for a component."""
    verification = Verification(models, manifest)
    verification.add_threads(1)
    opener = Opener(models, manifest, Timeline(), verification)
    opener.start(count_cpus())
    session = opener.components.session(name)
    assert isinstance(session, OnnxSession)
    return read_options(session._session)


@pytest.fixture(
    scope="module", params=[SessionSettings(), SessionSettings(prepack=True), SessionSettings("basic", saturates=True)]
)
def session(request: pytest.FixtureRequest) -> SessionSettings:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def baked(
    checkpoint: Path,
    settings: StageSettings,
    exported: Path,
    session: SessionSettings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    models = tmp_path_factory.mktemp("baked") / "models"
    own = replace(settings, components=dict.fromkeys(settings.components, ComponentSettings(session=session)))
    compile_folder(own, checkpoint, exported, models)
    return models


def served_as(manifest: Manifest, name: str, session: SessionSettings) -> Manifest:
    """The manifest with ``session`` as it is, whatever the compile stage found of the graph."""
    component = manifest.components[name]
    assert isinstance(component, Served)
    return manifest._replace(
        components={name: component._replace(session=component.session._replace(int8_saturates=session.saturates))}
    )


def test_a_trial_and_a_parity_check_open_what_the_container_opens(baked: Path, session: SessionSettings) -> None:
    manifest = served_as(read_manifest(baked), "words", session)
    graph = baked / manifest.components["words"].main_file
    served = serve(baked, manifest, "words")
    tried = read_options(open_graph(graph, session, {CPU: {}}))
    compared = read_options(open_for_comparison("words", graph, session, [CPU]))
    assert tried == compared == served
    assert served["threads"] == count_cpus()
    assert served["memory pattern"] is False
    assert (served["session.use_env_allocators"], served["session.intra_op.allow_spinning"]) == ("1", "0")
    assert served["session.disable_prepacking"] == ("0" if session.prepack else "1")


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Facts]]:
    """By component, the options of every session of a trial: of its graph, then of its artifact."""
    found: dict[str, list[Facts]] = {}

    def record(
        openers: Mapping[str, trial.SessionOpener], inputs: object, component: str
    ) -> dict[str, trial.StartupTiming]:
        found[component] = [read_options(opener()) for opener in openers.values()]
        return dict.fromkeys(openers, trial.StartupTiming(1, 1, 1))

    monkeypatch.setattr(artifacts_stage, "run_graph_trials", record)
    return found


@pytest.fixture
def image(
    tried: dict[str, list[Facts]], checkpoint: Path, settings: StageSettings, exported: Path, tmp_path: Path
) -> Path:
    """/models with an artifact of each component for this CPU, whether it pays or not."""
    models, work, out = tmp_path / "models", tmp_path / "work", tmp_path / "out"
    compile_folder(settings, checkpoint, exported, models)
    shutil.copytree(models, work)
    compile_artifacts(settings, exported, work, out, keep_all=True)
    artifacts = [ArtifactFile.from_json(path.read_bytes()) for path in sorted(out.rglob(ARTIFACT_FILE))]
    shutil.copytree(out / "compiled", models / "compiled", ignore=shutil.ignore_patterns(ARTIFACT_FILE))
    manifest = json.loads((models / "manifest.json").read_bytes())
    (models / "manifest.json").write_bytes(seal_manifest(add_artifacts(manifest, artifacts)))
    return models


def test_an_artifact_is_tried_against_its_graph_as_both_are_served(image: Path, tried: dict[str, list[Facts]]) -> None:
    manifest = read_manifest(image)
    alone = {name: without_artifacts(component) for name, component in manifest.components.items()}
    for name in manifest.components:
        graph, artifact = tried[name]
        assert serve(image, manifest, name) == artifact
        assert serve(image, manifest._replace(components=alone), name) == graph


def test_an_artifact_is_opened_on_cpus_that_it_fits_and_left_on_others(image: Path) -> None:
    manifest = read_manifest(image)
    assert find_opened(image, manifest) == {"sound": "native", "words": "native"}
    others = {name: for_another_cpu(component) for name, component in manifest.components.items()}
    assert find_opened(image, manifest._replace(components=others)) == {"sound": "cpu", "words": "cpu"}


def without_artifacts(component: object) -> Served:
    assert isinstance(component, Served)
    return component._replace(artifacts=())


def for_another_cpu(component: object) -> Served:
    assert isinstance(component, Served)
    (artifact,) = component.artifacts
    assert artifact.requires == find_facts(CPU)
    return component._replace(
        artifacts=(artifact._replace(requires={**artifact.requires, "processor": "x86_64 sse2"}),)
    )


def find_opened(models: Path, manifest: Manifest) -> dict[str, str]:
    """By which candidate each component of a manifest is opened."""
    timeline = Timeline()
    verification = Verification(models, manifest)
    verification.add_threads(1)
    opener = Opener(models, manifest, timeline, verification)
    opener.start(1)
    for name in manifest.components:
        opener.components.session(name)
    return dict(sorted(timeline.opened.items()))


def test_the_process_of_a_trial_shares_its_arena_as_the_container_does(models: Path, exported: Path) -> None:
    share_arena.cache_clear()
    case = read_inputs(next(exported.rglob("cases/words/*")))
    graph = models / read_manifest(models).components["words"].main_file
    trial.time_graph(lambda: open_graph(graph, SessionSettings(), {CPU: {}}), case)
    assert share_arena.cache_info().currsize == 1
