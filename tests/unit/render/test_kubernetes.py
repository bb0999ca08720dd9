"""The Kubernetes objects are what a cluster accepts, and as strict as the image allows."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from entrypoints.settings import read_settings
from prebake.render.kubernetes import Deployment, render_deployment
from prebake.spec.image.image import ImageSpec, Resources, Target
from prebake.spec.project import read_project, read_spec
from tests.support.repository import ROOT
from tests.support.schemas import kubernetes_validate

IMAGE = f"registry.example.invalid/foley@sha256:{'2' * 64}"


def objects(target: Target = "cpu", ready: float | None = 12.3) -> list[dict[str, Any]]:
    spec = read_spec(ROOT, "foley")
    return list(yaml.safe_load_all(render_deployment(spec, Deployment(IMAGE, target, ready))))


@pytest.mark.parametrize("target", ["cpu", "cuda", "tensorrt"])
def test_a_cluster_accepts_them(target: Target) -> None:
    for document in objects(target):
        kubernetes_validate.validate(document, "1.34", strict=True)


def container(target: Target = "cpu", ready: float | None = 12.3) -> dict[str, Any]:
    found: dict[str, Any] = objects(target, ready)[0]["spec"]["template"]["spec"]["containers"][0]
    return found


def test_the_image_is_named_by_digest() -> None:
    assert container()["image"] == IMAGE


def test_the_start_budget_follows_from_the_measured_start() -> None:
    probe = container(ready=12.3)["startupProbe"]
    assert probe["httpGet"]["path"] == "/v2/health/ready"
    assert probe["periodSeconds"] == 1
    assert probe["failureThreshold"] == 123
    assert container(ready=None)["startupProbe"]["failureThreshold"] == 60


@pytest.mark.parametrize(
    ("ready", "weights", "budget"),
    [(None, 0, 60), (None, 14 * 10**9, 60 + 280), (12.3, 14 * 10**9, 123 + 280), (1.0, 50_000_001, 60 + 2)],
)
def test_the_start_budget_grows_with_the_bytes_of_the_weights(ready: float | None, weights: int, budget: int) -> None:
    """They are read once from a disk that may give no more than 50 MB/s."""
    text = render_deployment(read_spec(ROOT, "foley"), Deployment(IMAGE, "cpu", ready, weight_bytes=weights))
    deployment, _ = yaml.safe_load_all(text)
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    assert found["startupProbe"]["failureThreshold"] * found["startupProbe"]["periodSeconds"] == budget


@pytest.mark.parametrize(("seconds", "drain"), [(20, 20), (119, 119), (600, 120)])
def test_the_server_drains_as_long_as_the_pod_lets_it(seconds: int, drain: int) -> None:
    spec = read_spec(ROOT, "foley")
    spec = spec.model_copy(update={"limits": spec.limits.model_copy(update={"seconds": seconds})})
    deployment, _ = yaml.safe_load_all(render_deployment(spec, Deployment(IMAGE, "cpu")))
    pod = deployment["spec"]["template"]["spec"]
    (found,) = pod["containers"]
    assert read_settings({each["name"]: each["value"] for each in found["env"]}).grace_period == drain
    sleep = found["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert sleep + drain < pod["terminationGracePeriodSeconds"] <= sleep + drain + 10


@pytest.mark.parametrize(
    "title",
    [
        "Foley\napiVersion: v1\nkind: Secret",
        "x\n---\nkind: Pod",
        "{a: b}",
        "&a *a !!python/object:os.system",
        "# no",
        "null",
        "a: 'b\"",
        "\t\r\x85\u2028Foley",
    ],
)
def test_a_title_is_a_value_whatever_it_holds(title: str) -> None:
    spec = read_spec(ROOT, "foley")
    plain = list(yaml.safe_load_all(render_deployment(spec, Deployment(IMAGE, "cpu"))))
    hostile = list(
        yaml.safe_load_all(render_deployment(spec.model_copy(update={"title": title}), Deployment(IMAGE, "cpu")))
    )
    for document in hostile:
        assert document["metadata"]["annotations"].pop("kubernetes.io/description") == title
    for document in plain:
        del document["metadata"]["annotations"]["kubernetes.io/description"]
        document["metadata"]["annotations"] = {}
    assert hostile == plain


@pytest.mark.parametrize("name", ["on", "null", "true", "e1"])
def test_a_name_that_yaml_would_read_as_something_else_stays_a_name(name: str) -> None:
    spec = read_spec(ROOT, "foley").model_copy(update={"name": name})
    deployment, service = yaml.safe_load_all(render_deployment(spec, Deployment(IMAGE, "cpu")))
    assert deployment["metadata"]["name"] == service["spec"]["selector"]["app.kubernetes.io/name"] == name


def test_nothing_is_allowed_that_the_server_does_not_need() -> None:
    pod = objects()[0]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    context = container()["securityContext"]
    assert context == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_a_gpu_is_asked_for_by_the_targets_that_need_one() -> None:
    assert "nvidia.com/gpu" not in container("cpu")["resources"]["limits"]
    assert container("cuda")["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container("tensorrt")["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_service_reaches_the_pods() -> None:
    deployment, service = objects()
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


@pytest.mark.parametrize(
    ("own", "memory", "cpu"),
    [({}, "6656Mi", "3000m"), ({"resources": Resources(cpu="1", memory="1Gi")}, "1Gi", "1")],
)
def test_several_models_get_the_memory_of_all_unless_the_image_says_its_own(
    own: dict[str, Any], memory: str, cpu: str
) -> None:
    project = read_project(ROOT, "duo", locked=False)
    said = (Resources(cpu="3000m", memory="2.5Gi"), Resources(memory="4096Mi"))
    members = [
        each.spec.model_copy(update={"resources": resources})
        for each, resources in zip(project.models.values(), said, strict=True)
    ]
    given = {name: getattr(project.spec, name) for name in project.spec.model_fields_set - {"resources"}}
    spec = ImageSpec.model_construct(**given, **own)
    text = render_deployment(spec, Deployment(IMAGE, "cpu"), members)
    (deployment, _) = yaml.safe_load_all(text)
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    assert found["resources"]["limits"] == {"memory": memory}
    assert found["resources"]["requests"] == {"cpu": cpu, "memory": memory}
