"""What the builder writes is what the entrypoint reads: the toy baked on this machine, and looked at from both sides."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoints.components.opener import Opener
from entrypoints.contract import Answer
from entrypoints.files import verification as integrity
from entrypoints.files.verification import Verification
from entrypoints.forms.fields import convert_form
from entrypoints.manifest import reader, shape_buckets, values
from entrypoints.manifest.reader import read_manifest
from entrypoints.manifest.values import Manifest
from entrypoints.model.answer_comparison import find_difference
from entrypoints.model.warmup import read_request
from entrypoints.processes.timeline import Timeline
from entrypoints.runtime.fallback import list_uncompiled
from prebake.bake.graphs import onnx_files
from prebake.bake.model_folder import manifest as baked_manifest
from prebake.documents.component import SessionSettings
from prebake.documents.manifest import schema
from prebake.documents.manifest.validation import seal_manifest
from prebake.documents.model_manifest import MODEL_MANIFEST
from prebake.documents.settings import StageSettings
from prebake.measure.warmup_request import read_warmup
from prebake.plan.planner import make_plan
from prebake.plan.values import Options, Plan
from prebake.spec.project import read_project
from tests.support.bake.host_bake import bake_folder
from tests.support.commands.projects import Project, clone


class Folder:
    """What measuring asks of an image, answered by a folder that lies at /models."""

    def __init__(self, models: Path) -> None:
        self._models = models

    @contextmanager
    def open_files(self, image: str) -> Iterator[Callable[[str], bytes]]:
        yield lambda path: (self._models / Path(path).relative_to("/models")).read_bytes()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The toy's project, its code importable as it is in a stage."""
    project = clone(tmp_path_factory.mktemp("contract") / "project", "toy")
    sys.path.insert(0, str(project.root))
    yield project
    sys.path.remove(str(project.root))
    for name in [name for name in sys.modules if name.startswith("images.toy")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def plan(project: Project) -> Plan:
    return make_plan(read_project(project.root, "toy"), Options())


@pytest.fixture(scope="module")
def models(project: Project, plan: Plan) -> Path:
    """Baked by the settings that the plan puts into the context."""
    text = next(file.data for file in plan.context if file.path == "bake/settings.json")
    bake_folder("toy", project.root / "checkpoint", StageSettings.from_json(text or b""), project.root / "models")
    return project.root / "models"


@pytest.fixture(scope="module")
def read(models: Path) -> Manifest:
    return read_manifest(models)


def test_schema_and_name_are_the_same_on_both_sides() -> None:
    assert (reader.SCHEMA, values.MANIFEST_FILE) == (schema.SCHEMA, MODEL_MANIFEST)


def test_what_an_artifact_accepts_has_the_same_words_on_both_sides() -> None:
    problems: list[str] = []
    for accepts in shape_buckets.ACCEPTS:
        schema.ACCEPTS(accepts, "accepts", problems)
    assert problems == []


def test_the_manifest_says_what_the_plan_said(read: Manifest, plan: Plan) -> None:
    assert (read.name, read.target, read.checkpoint) == ("toy", "cpu", "small")
    assert list(read.components) == sorted(plan.spec.components)
    assert read.limits._asdict() == plan.spec.limits.model_dump()
    origins = {path: file.origin for path, file in read.files.items()}
    assert origins["first/model.safetensors"] == "published"
    assert origins["second/model.safetensors"] == "derived"
    published = next(file for file in plan.shipped if file.path == "first/model.safetensors")
    assert read.files["first/model.safetensors"].sha256 == published.sha256


def test_it_lists_every_file_and_no_other(read: Manifest, models: Path) -> None:
    integrity.check_sizes(models, read.files)
    verification = Verification(models, read)
    verification.add_threads(1)
    verification.wait_for_required()
    assert integrity.list_extra_files(models, read.files) == []


def test_the_ranges_that_are_read_ahead_are_those_of_the_weights(read: Manifest) -> None:
    for name, component in read.components.items():
        ((path, ranges),) = component.byte_ranges.items()
        assert path == f"{name}/model.safetensors"
        assert sum(length for _, length in ranges) > read.files[path].size / 2


def test_the_baked_model_gives_the_reference_answer_through_the_servers_own_parts(read: Manifest, models: Path) -> None:
    create = importlib.import_module("images.toy.model").create

    opener = Opener(models, read, Timeline(), None)
    opener.start(1)
    model = create(opener.components)
    answer: Answer = model.generate(convert_form(model.fields, read_request(models, read)), lambda: False)
    expected = (models / read.warmup.answer).read_bytes()
    assert answer.media_type == read.warmup.media_type
    assert find_difference(expected, answer.body, read.warmup.media_type, read.warmup.tolerance) is None


def test_measuring_sends_the_request_that_the_server_warms_up_with(read: Manifest, models: Path) -> None:
    warmup = read_warmup(Folder(models), "toy")
    form = read_request(models, read)
    assert dict(warmup.request.fields) == dict(form.parts)
    assert warmup.answer == (models / read.warmup.answer).read_bytes()
    assert (warmup.media_type, warmup.tolerance) == (read.warmup.media_type, read.warmup.tolerance)


def test_what_is_written_is_canonical_and_of_no_machine(models: Path, project: Project) -> None:
    text = (models / "manifest.json").read_text()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    assert str(project.root) not in text


def test_options_of_a_gpu_provider_reach_the_candidate_that_they_are_for(
    models: Path, read: Manifest, plan: Plan
) -> None:
    """Described as for a GPU, from graphs that were baked here: no provider is opened."""
    text = next(file.data for file in plan.context if file.path == "bake/settings.json")
    settings = StageSettings.from_json(text or b"")
    said = {"cuda": {"cudnn_conv_algo_search": "EXHAUSTIVE"}}
    providers = ("CUDAExecutionProvider", "CPUExecutionProvider")
    settings = replace(
        settings,
        components={
            name: replace(each, providers=providers, options=said) for name, each in settings.components.items()
        },
    )
    own = [
        baked_manifest.CompiledComponent(
            name, each.graph, onnx_files.load(models / each.graph), "0" * 64, {}, SessionSettings()
        )
        for name, each in read.components.items()
        if isinstance(each, values.OnnxComponent)
    ]
    document = json.loads((models / "manifest.json").read_bytes())
    described = baked_manifest.make_manifest(settings, own, document["files"], document["warmup"])
    for component in reader.parse_manifest(seal_manifest(described)).components.values():
        assert isinstance(component, values.OnnxComponent)
        best, least = list_uncompiled(component)
        assert (best.name, best.provider_options["cudnn_conv_algo_search"], best.provider_options["use_tf32"]) == (
            "cuda",
            "EXHAUSTIVE",
            "0",
        )
        assert (least.name, least.provider_options) == ("cpu", {})
