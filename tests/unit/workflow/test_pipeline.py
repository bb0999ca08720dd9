"""The pipeline of a build as a value: which steps run, which are known, which are planned again."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prebake.checkpoints.store.store import Store
from prebake.docker.images.base_image import Base
from prebake.documents.canonical import canonical_json
from prebake.oci.records.layer_records import FileRecord, LayerRecord, Records
from prebake.plan.artifact_layers import with_artifacts
from prebake.plan.layer_kinds import LayerKind
from prebake.plan.multi_model import join_plans
from prebake.plan.planner import make_plan
from prebake.plan.values import Options, Plan
from prebake.spec.project import read_project
from prebake.workflow.layers.cache_keys import compiled_key, exported_key, graphs_key, joined_key, layer_key
from prebake.workflow.layers.cache_lookup import BuildCache
from prebake.workflow.layers.layer_store import LayerStore
from prebake.workflow.layers.remote_image import MODELS_MANIFEST
from prebake.workflow.pipeline.resolution import Resolution, resolve
from prebake.workflow.pipeline.stage_images import export_image
from prebake.workflow.pipeline.step import (
    Pipeline,
    State,
    has_conditional,
    merge_pipelines,
    pipeline_document,
    pipeline_lines,
)
from prebake.workflow.pipeline.step_planner import plan_artifacts, plan_steps
from tests.support.plans import artifact, several
from tests.support.repository import ROOT

BASE = Base("python:3.11", "sha256:" + "b" * 64, "pinned", 1)
RECORD = LayerRecord("sha256:" + "1" * 64, "tar", "sha256:" + "2" * 64, 10, "raw", 10)
PREPARED = ["context", "stage image", "export", "compile"]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(read_project(ROOT, "foley"), Options())


@pytest.fixture(scope="module")
def pair() -> Plan:
    projects = [read_project(ROOT, name) for name in ("minilm", "foley")]
    whole = replace(several(*projects), templates=projects[0].templates)
    return join_plans(whole, Options(), [make_plan(project, Options()) for project in projects])


def fresh(plan: Plan, **facts: Any) -> Resolution:
    """Nothing is there but the base image."""
    absent: Mapping[str, Any] = {
        "plan": plan,
        "base": BASE,
        "records": {layer.name: None for layer in plan.layers},
        "compression": "auto",
        "missing": {model.name: model.files for model in plan.models},
    }
    return Resolution(**{**absent, **facts})


def built(plan: Plan, **facts: Any) -> Resolution:
    """Everything is on record, and nothing left the store or the Engine."""
    models = plan.models
    keys = {key for model in models for key in (exported_key(model, BASE), compiled_key(model, BASE))}
    keys |= {graphs_key(model, BASE) for model in models} | {joined_key(plan, BASE)}
    there: Mapping[str, Any] = {
        "records": {layer.name: (RECORD,) for layer in plan.layers},
        "base_layers_known": True,
        "stored_keys": frozenset(keys),
        "engine_images": frozenset(export_image(model, BASE).tag for model in models),
        "missing": {model.name: () for model in models},
    }
    return fresh(plan, **{**there, **facts})


def names(pipeline: Pipeline, state: State) -> list[str]:
    return [step.name for step in pipeline if step.state is state]


def layers_of(plan: Plan, *kinds: LayerKind) -> list[str]:
    return [f"layer {layer.name}" for layer in plan.layers if not kinds or layer.kind in kinds]


def without(resolution: Resolution, *kinds: LayerKind) -> dict[str, Any]:
    """The records, but for those of layers of these kinds."""
    changed = {layer.name for layer in resolution.plan.layers if layer.kind in kinds}
    return {name: None if name in changed else records for name, records in resolution.records.items()}


def test_a_first_build_runs_every_step_in_order(plan: Plan) -> None:
    pipeline = plan_steps(fresh(plan))
    assert names(pipeline, State.RUN) == ["fetch", *PREPARED, "base layers", *layers_of(plan)]
    assert names(pipeline, State.KNOWN) == ["base", "system packages"]
    assert not has_conditional(pipeline)


def test_an_unchanged_build_runs_nothing(plan: Plan) -> None:
    pipeline = plan_steps(built(plan))
    assert names(pipeline, State.RUN) == []
    assert not has_conditional(pipeline)
    assert names(pipeline, State.KNOWN) == ["base", "base layers", *layers_of(plan)]


def test_a_change_of_code_runs_what_the_code_layer_reads(plan: Plan) -> None:
    before = built(plan)
    pipeline = plan_steps(replace(before, records=without(before, LayerKind.CODE)))
    assert names(pipeline, State.RUN) == ["context", "layer code"]


def test_a_lost_layer_is_made_of_what_is_left(plan: Plan) -> None:
    before = built(plan)
    lost = frozenset(layer.name for layer in plan.layers if layer.kind is LayerKind.DERIVED)
    gone = replace(before, records=without(before, LayerKind.DERIVED), lost=lost)
    pipeline = plan_steps(gone)
    assert names(pipeline, State.RUN) == layers_of(plan, LayerKind.DERIVED)
    assert {step.reason for step in pipeline if step.state is State.RUN} == {"its bytes are gone"}
    emptied = plan_steps(replace(gone, stored_keys=frozenset(), missing={plan.name: plan.files}))
    expected = ["fetch", "context", "export", *layers_of(plan, LayerKind.DERIVED)]
    assert names(emptied, State.RUN) == expected


def test_without_the_base_image_what_stands_on_it_is_planned_again(plan: Plan) -> None:
    pipeline = plan_steps(fresh(plan, base=None))
    assert names(pipeline, State.RUN) == ["base", "fetch", *layers_of(plan, LayerKind.WEIGHTS)]
    on_base = [name for name in layers_of(plan) if name not in layers_of(plan, LayerKind.WEIGHTS)]
    assert names(pipeline, State.CONDITIONAL) == [*PREPARED, "base layers", *on_base]


def test_without_an_engine_nothing_is_said_to_run_on_one(plan: Plan) -> None:
    pipeline = plan_steps(fresh(plan, base=None, engine=False))
    assert names(pipeline, State.RUN) == ["fetch", *layers_of(plan, LayerKind.WEIGHTS)]
    assert pipeline[0].reason == "no Docker Engine answers"


def test_whether_artifacts_fit_is_known_once_the_graphs_are_compiled(plan: Plan) -> None:
    found = artifact("a")
    whole = with_artifacts(plan, {plan.name: [found]})
    first = plan_steps(fresh(whole, undecided_artifacts=frozenset({found.key})))
    waiting = ["add artifacts", *layers_of(whole, LayerKind.COMPILED), "layer graphs"]
    assert names(first, State.CONDITIONAL) == waiting
    assert "compile" in names(first, State.RUN)
    records = {layer.name: (RECORD,) for layer in whole.layers if f"layer {layer.name}" not in waiting}
    checked = built(whole, records={layer.name: records.get(layer.name) for layer in whole.layers})
    checked = replace(checked, stored_keys=checked.stored_keys - {graphs_key(whole, BASE)})
    again = plan_steps(checked)
    assert names(again, State.RUN) == waiting
    ran = merge_pipelines([first, again])
    assert sorted(names(ran, State.RUN)) == sorted([*names(first, State.RUN), *waiting])
    assert not has_conditional(ran)


def test_models_of_one_image_have_their_own_steps_and_one_join(pair: Plan) -> None:
    pipeline = plan_steps(fresh(pair))
    stages = [f"{model}/{step}" for model in ("minilm", "foley") for step in ("fetch", *PREPARED)]
    expected = [*stages, "context", "stage image", "join", "base layers", *layers_of(pair)]
    assert names(pipeline, State.RUN) == expected
    join = next(step for step in pipeline if step.name == "join")
    assert {"minilm/compile", "foley/compile", "context", "stage image"} == set(join.inputs)
    before = built(pair)
    other = replace(
        before, stored_keys=before.stored_keys - {joined_key(pair, BASE)}, records=without(before, LayerKind.GRAPHS)
    )
    assert names(plan_steps(other), State.RUN) == ["context", "join", "layer graphs"]


def test_every_input_is_a_step_before(plan: Plan, pair: Plan) -> None:
    found = {model.name: [artifact("a")] for model in pair.models}
    for whole in (plan, pair, with_artifacts(pair, found)):
        seen: set[str] = set()
        for step in plan_steps(fresh(whole)):
            assert set(step.inputs) <= seen, step.name
            seen.add(step.name)


def test_artifacts_are_compiled_whatever_is_on_record(plan: Plan) -> None:
    assert names(plan_artifacts(built(plan), "foley"), State.RUN) == ["context", "artifacts"]
    assert names(plan_artifacts(fresh(plan), "foley"), State.RUN) == [
        *("fetch", "context", "stage image", "export"),
        *("artifacts image", "artifacts"),
    ]


def test_the_lines_for_people_are_of_the_document_for_programs(plan: Plan) -> None:
    document = json.loads(json.dumps(pipeline_document(plan_steps(fresh(plan)))))
    _, *lines = pipeline_lines(document)
    assert len(lines) == len(document)
    assert all(step["name"] in line and step["reason"] in line for step, line in zip(document, lines, strict=True))


def layer_store(folder: Path) -> LayerStore:
    store = Store(folder / "store")
    return LayerStore(store, BuildCache(Records(store.root)))


def resolved(layers: LayerStore, plan: Plan, *, base: Base | None = BASE, lost: Collection[str] = ()) -> Resolution:
    return resolve(plan, {plan.name: [artifact("a")]}, layers, None, base, lost)


def compiled(layers: LayerStore, plan: Plan, **fields: object) -> None:
    """What the compile stage leaves, of a component with these key fields."""
    manifest = canonical_json({"components": {"net": {"key_inputs": fields}}, "files": {}})
    stored = layers.store.add_stream([manifest], sha256=None, name="manifest", origin="a test")
    record = FileRecord(MODELS_MANIFEST, stored.sha256, stored.size)
    layers.cache.records.put_files(compiled_key(plan, BASE), (record,))


def test_an_artifact_of_another_graph_is_left_out_of_the_image(tmp_path: Path, plan: Plan) -> None:
    layers = layer_store(tmp_path)
    unknown = resolved(layers, plan)
    assert unknown.undecided_artifacts == {artifact("a").key}
    assert [layer.kind for layer in unknown.plan.layers].count(LayerKind.COMPILED) == 1
    compiled(layers, plan, graph="another")
    known = resolved(layers, plan)
    assert [each.artifact for each in known.left_out] == [artifact("a")]
    assert (known.plan, known.undecided_artifacts) == (with_artifacts(plan, {}), frozenset())
    assert not has_conditional(plan_steps(known))


def test_what_is_known_of_the_graphs_with_artifacts_is_not_checked_again(tmp_path: Path, plan: Plan) -> None:
    layers, whole = layer_store(tmp_path), with_artifacts(plan, {plan.name: [artifact("a")]})
    (graphs,) = (layer for layer in whole.layers if layer.kind is LayerKind.GRAPHS)
    layers.cache.records.put_layers(layer_key(graphs, "auto", BASE), (RECORD,))
    found = resolved(layers, plan)
    assert (found.undecided_artifacts, found.left_out) == (frozenset(), ())
    assert found.records["graphs"] == (RECORD,)
    assert resolved(layers, plan, base=None).undecided_artifacts == {artifact("a").key}


def test_a_record_whose_bytes_are_gone_is_none(tmp_path: Path, plan: Plan) -> None:
    layers = layer_store(tmp_path)
    (code,) = (layer for layer in plan.layers if layer.kind is LayerKind.CODE)
    layers.cache.records.put_layers(layer_key(code, "auto", BASE), (RECORD,))
    assert resolved(layers, plan).records["code"] == (RECORD,)
    gone = resolved(layers, plan, lost={RECORD.digest})
    assert (gone.records["code"], gone.lost) == (None, frozenset({"code"}))
