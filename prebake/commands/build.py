"""``prebake build``: an image built, proved and measured; or its plan, its rendered context, or the list of images."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from prebake.commands import flags
from prebake.commands.command import Command, Given
from prebake.commands.labels import add_label, with_metadata
from prebake.commands.printing import print_json, show, tell
from prebake.oci.compression import Compression
from prebake.plan.values import STARTS, Options

_LISTED = ("list", "json", "project")
_CHOICE = ("project", "name", "model", "target", "checkpoint", "tag")
_RENDERED = (*_CHOICE, "render", "push", "accept_licence", "label", "json")


@dataclass(frozen=True)
class ListRequest:
    """The images of a project, and their targets."""

    root: Path
    json: bool


@dataclass(frozen=True)
class RenderRequest:
    """A context for ``docker buildx build``; compiled artifacts are also taken from the repositories of ``registries``."""

    root: Path
    model: str
    options: Options
    folder: str
    accepted_licences: tuple[str, ...]
    registries: tuple[str, ...]
    labels: tuple[str, ...]
    json: bool


@dataclass(frozen=True)
class BuildRequest:
    """An image, and where it goes. With ``plan`` it is only told what would be done."""

    root: Path
    model: str
    options: Options
    accepted_licences: tuple[str, ...]
    outputs: tuple[str, ...]
    starts: int
    platform: str | None
    labels: tuple[str, ...] = ()
    plan: bool = False
    json: bool = False
    base: str = "auto"
    compression: Compression = "auto"
    weights: Literal["baked", "volume"] = "baked"
    require_attestations: bool = False

    @property
    def registries(self) -> list[str]:
        """The references of the registries that the build would go to."""
        return [text.partition(":")[2] for text in self.outputs if text.startswith("registry:")]


def add_flags(parser: argparse.ArgumentParser) -> None:
    flags.add_choice(parser)
    flags.add_tag(parser)
    flags.add_base(parser)
    flags.add_licence(parser)
    parser.add_argument(
        "--platform",
        metavar="OS/ARCH",
        help="the platform that the image has to be for, as linux/amd64; refused if it is not the Engine's"
        " (default: the Engine's, or DOCKER_DEFAULT_PLATFORM)",
    )
    parser.add_argument("--plan", action="store_true", help="print what would be done, and do nothing")
    parser.add_argument(
        "--render", metavar="DIR", help="write the Dockerfile and its context for `docker buildx build`"
    )
    parser.add_argument(
        "--output",
        action="append",
        metavar="PLACE",
        help="where the image goes: docker (the default; started and compared there), oci:DIR, oci:FILE.tar, registry:REF;"
        " may be given again",
    )
    parser.add_argument("--push", action="append", metavar="REF", help="push it as well, once its answer was compared")
    parser.add_argument(
        "--weights",
        choices=("baked", "volume"),
        help="volume: everything under /models as an image of its own, TAG-weights, for Kubernetes image volumes",
    )
    flags.add_compression(parser)
    add_label(parser)
    parser.add_argument(
        "--require-attestations",
        action="store_true",
        help="fail if a registry takes the image and not all that goes beside it: records of layers, SBOM, provenance",
    )
    parser.add_argument(
        "--starts",
        type=flags.positive,
        metavar="N",
        help="fresh starts that are timed for the report, after one that is not counted (default: 3, or PREBAKE_STARTS)",
    )
    parser.add_argument("--list", action="store_true", help="list images and targets; with --json a CI matrix")
    flags.add_json(parser)


def read(given: Given) -> ListRequest | RenderRequest | BuildRequest:
    if "list" in given:
        given.allow("--list", _LISTED, "it lists every image of the project; leave the others out")
        return ListRequest(given.root(), json="json" in given)
    model, options, labels = given.model(), flags.options_of(given), tuple(given.get("label", ()))
    if "render" in given:
        advice = (
            "it writes a context and builds nothing; leave the others out (--push names where artifacts are looked for)"
        )
        given.allow("--render", _RENDERED, advice)
        push, accepted = tuple(given.get("push", ())), given.accepted_licences()
        folder = given.get("render")
        return RenderRequest(given.root(), model, options, folder, accepted, push, labels, json="json" in given)
    pushed = [f"registry:{reference}" for reference in given.get("push", ())]
    outputs = tuple(dict.fromkeys([*given.get("output", ["docker"]), *pushed]))
    if "starts" in given and "docker" not in outputs:
        given.refuse(
            f"--starts does not go with --output {outputs[0]}: only an image at the Engine is started; add --output docker"
        )
    return BuildRequest(
        given.root(),
        model,
        options,
        given.accepted_licences(),
        outputs,
        given.get("starts") or _starts(given),
        given.get("platform") or os.environ.get("DOCKER_DEFAULT_PLATFORM") or None,
        labels,
        **given.only("plan", "json", "base", "compression", "weights", "require_attestations"),
    )


def _starts(given: Given) -> int:
    text = os.environ.get("PREBAKE_STARTS", "")
    try:
        return flags.positive(text) if text else STARTS
    except argparse.ArgumentTypeError as error:
        given.refuse(f"PREBAKE_STARTS: {error}")


def run(request: ListRequest | RenderRequest | BuildRequest) -> None:
    if isinstance(request, ListRequest):
        _list(request)
    elif isinstance(request, RenderRequest):
        _render(request)
    elif request.plan:
        _plan(request)
    else:
        _build(request)


def _list(request: ListRequest) -> None:
    from prebake.render.listing import list_document, list_text
    from prebake.spec.project import list_images, read_spec

    specs = [read_spec(request.root, name) for name in list_images(request.root)]
    if request.json:
        print(json.dumps(list_document(specs), ensure_ascii=False))
    else:
        print(list_text(specs))


def _render(request: RenderRequest) -> None:
    from prebake.plan.making import make_plan
    from prebake.spec.project import read_project
    from prebake.workflow.rendering import Rendering, render_folder

    project = read_project(request.root, request.model)
    rendering = Rendering(Path(request.folder), request.accepted_licences, request.registries)
    options = with_metadata(request.options, request.root, request.labels)
    render_folder(project, make_plan(project, options), rendering, tell)
    show({"folder": request.folder}, request.folder, as_json=request.json)


def _plan(request: BuildRequest) -> None:
    from prebake.plan.making import make_plan
    from prebake.render.asked import Asked
    from prebake.render.listing import plan_document, plan_text
    from prebake.spec.project import read_project
    from prebake.workflow.artifacts import look_up
    from prebake.workflow.outputs import check_outputs
    from prebake.workflow.platforms import plan_platform

    options = with_metadata(request.options, request.root, request.labels)
    plan = make_plan(read_project(request.root, request.model), options)
    check_outputs(request.outputs, plan.tag, attestations=request.require_attestations)
    asked = Asked(
        request.outputs,
        request.base,
        request.compression,
        request.weights,
        request.starts,
        request.accepted_licences,
        plan_platform(request.platform),
    )
    found = look_up(plan, request.registries, tell)
    show(plan_document(found, asked), plan_text(found, asked), as_json=request.json)


def _build(request: BuildRequest) -> None:
    from prebake.measure.summary import report_text
    from prebake.workflow.build import BuildOrder, build_image

    order = BuildOrder(
        request.root,
        request.model,
        with_metadata(request.options, request.root, request.labels),
        request.base,
        request.accepted_licences,
        outputs=request.outputs,
        compression=request.compression,
        weights=request.weights,
        starts=request.starts,
        platform=request.platform,
        require_attestations=request.require_attestations,
    )
    report = build_image(order, tell)
    if request.json:
        print_json(report)
    else:
        print(report_text(report))


COMMAND = Command("build", "build an image, prove it and measure its start (the default verb)", add_flags, read, run)
