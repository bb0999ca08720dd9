"""Several models in one plan: where each lies, which layers they bring, and what they cost alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from prebake.errors import LicenseRequired, SpecInvalid
from prebake.plan.changes import changed_layers
from prebake.plan.image_config import container_config
from prebake.plan.multi_model import member_trees, place_members
from prebake.plan.planner import check_license, make_plan
from prebake.plan.values import Options, Plan
from prebake.spec.image.image import License, ServedModel
from prebake.spec.lock import LockedFile
from prebake.spec.project import Project

Renamed = Callable[..., Project]


@pytest.fixture
def named(project: Project) -> Renamed:
    """The project under another name, with other sha256 for these of its files."""

    def rename(name: str, **digits: str) -> Project:
        lock = project.lock
        assert lock is not None
        sample = lock.checkpoints["sample"]
        files = tuple(changed(file, digits.get(file.path.partition("/")[0], "")) for file in sample.files)
        checkpoints = {**lock.checkpoints, "sample": replace(sample, files=files)}
        spec = project.spec.model_copy(update={"name": name})
        return replace(project, spec=spec, lock=replace(lock, checkpoints=checkpoints))

    return rename


def changed(file: LockedFile, digit: str) -> LockedFile:
    return replace(file, sha256=digit * 64) if digit else file


def several(*members: Project) -> Project:
    first = members[0]
    names = {member.spec.name: member for member in members}
    update = {"name": "pair", "models": {name: ServedModel() for name in names}, "components": {}, "checkpoints": {}}
    templates = {**first.templates, "stages/join.j2": "join"}
    spec = first.spec.model_copy(update=update)
    joined = replace(first, spec=spec, lock=None, models=names, templates=templates)
    return replace(joined, serve=(), export=(), naive=())


def plans(*projects: Project) -> list[Plan]:
    return [make_plan(project, Options()) for project in projects]


def test_what_the_same_publisher_published_lies_once(named: Renamed) -> None:
    left, right = place_members(plans(named("left"), named("right")))
    assert left.places == {"net": "net", "old": "old"}
    assert right.places == {"net": "net", "old": "right.old"}  # converted in each, so nobody knows that it is the same
    trees = member_trees((left, right))
    assert [file.path for tree in trees for file in tree.files] == ["net/model.safetensors", "net/vocab.txt"]


def test_a_folder_with_something_else_in_it_moves_whole_and_the_other_stays(named: Renamed) -> None:
    left, right = place_members(plans(named("left"), named("right", net="e")))
    assert left.places["net"] == "net"
    assert right.place("net/vocab.txt") == "right.net/vocab.txt"
    assert [file.path for tree in member_trees((left, right)) for file in tree.files] == [
        "net/model.safetensors",
        "net/vocab.txt",
        "right.net/model.safetensors",
        "right.net/vocab.txt",
    ]


def test_what_is_no_weights_lies_in_a_folder_of_the_models_own(named: Renamed) -> None:
    _, right = place_members(plans(named("left"), named("right")))
    assert right.place("manifest.json") == "members/right/manifest.json"
    assert right.place("warmup/request.json") == "members/right/warmup/request.json"
    assert right.place("facts.json") == "members/right/facts.json"


def test_a_folder_called_as_that_of_all_members_moves_even_alone(project: Project) -> None:
    plan = make_plan(project, Options())
    components = {"members": plan.spec.components["old"]}
    plan = replace(plan, spec=plan.spec.model_copy(update={"components": components}))
    (member,) = place_members([plan])
    assert member.places["members"] == f"{plan.name}.members"


def test_layers_that_did_not_move_are_those_of_the_single_images(named: Renamed) -> None:
    left, right = named("left"), named("right", net="e")
    alone = {layer.name: layer.key for plan in plans(left, right) for layer in plan.layers}
    layers = {layer.name: layer for layer in make_plan(several(left, right), Options()).layers}
    assert list(layers) == [
        "dependencies",
        "net/model.safetensors",
        "net/vocab.txt",
        "right.net/model.safetensors",
        "right.net/vocab.txt",
        "old (derived)",
        "right.old (derived)",
        "graphs",
        "code",
    ]
    first = {layer.name: layer.key for layer in make_plan(left, Options()).layers}
    for name in ("dependencies", "net/model.safetensors", "net/vocab.txt", "old (derived)"):
        assert layers[name].key == first[name]
    assert layers["graphs"].key not in alone.values()


def test_each_model_is_made_as_if_it_were_alone(named: Renamed) -> None:
    left, right = named("left"), named("right")
    whole = make_plan(several(left, right), Options())
    assert [(plan.export_key, plan.compile_key) for plan in whole.models] == [
        (plan.export_key, plan.compile_key) for plan in plans(left, right)
    ]
    assert whole.room == {place: 2 * size for place, size in make_plan(left, Options()).room.items()}


def test_the_container_is_told_whom_it_serves(named: Renamed) -> None:
    config = container_config(make_plan(several(named("left"), named("right")), Options()))
    assert config.env["PREBAKE_MODEL_NAMES"] == "left,right"
    assert "PREBAKE_MODEL_NAMES" not in container_config(make_plan(named("left"), Options())).env
    assert config.labels["org.opencontainers.image.licenses"] == "MIT"


def test_the_terms_of_every_model_are_asked_for_at_once(named: Renamed) -> None:
    asking = [named("left"), named("right")]
    licenses = {"left": "LicenseRef-A", "right": "LicenseRef-B"}
    for at, member in enumerate(asking):
        sample = member.spec.checkpoints["sample"]
        license = License(id=licenses[member.spec.name], requires_acceptance=True, text="README.md")
        terms = sample.model_copy(update={"license": license})
        checkpoints = {**member.spec.checkpoints, "sample": terms}
        spec = member.spec.model_copy(update={"checkpoints": checkpoints})
        assert member.lock is not None
        locked = replace(member.lock.checkpoints["sample"], license=license.id)
        lock = replace(member.lock, checkpoints={"sample": locked})
        asking[at] = replace(member, spec=spec, lock=lock)
    plan = make_plan(several(*asking), Options())
    with pytest.raises(LicenseRequired) as refused:
        check_license(plan, ["LicenseRef-A"])
    assert "LicenseRef-A" not in str(refused.value)
    assert "--accept-license LicenseRef-B" in refused.value.next_action
    with pytest.raises(LicenseRequired) as refused:
        check_license(plan, [])
    assert "--accept-license LicenseRef-A --accept-license LicenseRef-B" in refused.value.next_action
    check_license(plan, ["LicenseRef-B", "LicenseRef-A"])


def test_one_checkpoint_for_all_is_refused(named: Renamed) -> None:
    with pytest.raises(SpecInvalid, match="several"):
        make_plan(several(named("left"), named("right")), Options(checkpoint="sample"))


def test_a_change_of_code_touches_one_layer_and_one_of_a_models_exporter_more(named: Renamed) -> None:
    touched = changed_layers(several(named("left"), named("right", net="e")), Options(), {})
    assert touched["code"] == ("code",)
    assert touched["model.py"] == ("code",)
    assert touched["export.py"] == ("old (derived)", "right.old (derived)", "graphs")


def test_the_context_has_each_models_stages_and_the_export_packages_once(named: Renamed) -> None:
    paths = {file.path for file in make_plan(several(named("left"), named("right")), Options()).context}
    assert {"bake/settings.json", "members/left/bake/settings.json", "members/right/bake/settings.json"} <= paths
    assert {path for path in paths if path.startswith("requirements/")} == {
        f"requirements/{name}.txt" for name in ("cpu", "export", "torch-cpu", "torch-cuda")
    }


def test_a_model_with_export_packages_of_its_own_brings_them(named: Renamed) -> None:
    right = named("right")
    right = replace(right, requirements={**right.requirements, "export": "onnxruntime==1.31.1 \\\nother==1\n"})
    paths = {file.path for file in make_plan(several(named("left"), right), Options()).context}
    assert {"requirements/export.txt", "requirements/right-export.txt"} <= paths
