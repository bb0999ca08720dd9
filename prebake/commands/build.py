"""``prebake build``: build, verify and measure an image; or print its plan, render its context, or list the images."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from prebake.commands.shared import flags
from prebake.commands.shared.command import Arguments, Command
from prebake.commands.shared.help import HELP
from prebake.commands.shared.image_labels import add_label, with_metadata
from prebake.commands.shared.output import log, print_json, show
from prebake.plan.values import DEFAULT_STARTS
from prebake.workflow.requests import BuildRequest, RenderRequest

_LIST_FLAGS = ("list", "json", "project")
_IMAGE_FLAGS = ("project", "name", "model", "target", "checkpoint", "tag")
_RENDER_FLAGS = (*_IMAGE_FLAGS, "render", "push", "cache_from", "accept_license", "label", "json")


@dataclass(frozen=True)
class ListImagesRequest:
    """The images of a project and their targets."""

    root: Path
    json: bool


def add_flags(parser: argparse.ArgumentParser) -> None:
    _add_image(parser)
    _add_previews(parser)
    _add_places(parser)
    _add_layers(parser)
    add_label(parser)
    _add_checks(parser)
    parser.add_argument(
        "--list",
        action="store_true",
        help="list the project's images and targets (with --json as a matrix for CI), and build nothing",
    )
    flags.add_json(parser, "print the report, the plan or the list as JSON")


def _add_image(parser: argparse.ArgumentParser) -> None:
    flags.add_image(parser)
    flags.add_tag(parser)
    flags.add_base(parser)
    flags.add_license(parser)
    parser.add_argument(
        "--platform",
        metavar="OS/ARCH",
        help="the image's platform, such as linux/amd64; only the Engine's own platform can be built (default: "
        "DOCKER_DEFAULT_PLATFORM, or the Engine's)",
    )


def _add_previews(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plan", action="store_true", help="print what the build would do, and do nothing")
    parser.add_argument(
        "--render",
        metavar="DIR",
        help="write a Dockerfile and its context for `docker buildx build` to this folder, and build nothing",
    )


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output",
        action="append",
        metavar="PLACE",
        help="where the image goes: docker (the Engine, where it is started and verified), oci:DIR, oci:FILE.tar or "
        "registry:REF; may be repeated (default: docker)",
    )
    parser.add_argument(
        "--push", action="append", metavar="REF", help="also push the verified image to this reference; may be repeated"
    )
    parser.add_argument(
        "--by-digest",
        action="store_true",
        help="push the image by its digest only, and write no tag; each REF is a repository without a tag",
    )


def _add_layers(parser: argparse.ArgumentParser) -> None:
    """Where layers come from, and their form."""
    parser.add_argument(
        "--cache-from",
        action="append",
        metavar="REF",
        help="also reuse layers and artifacts of this reference's repository, to which the build writes nothing; without the "
        "right to read it, the build warns and goes on; may be repeated",
    )
    parser.add_argument(
        "--weights",
        choices=("baked", "volume"),
        help="where /models goes: into the image (baked), or into a second image, TAG-weights, for Kubernetes image volumes "
        "(volume) (default: baked)",
    )
    flags.add_compression(parser)


def _add_checks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--require-attestations",
        action="store_true",
        help="fail if a registry takes the image but not its attestations: layer records, SBOM, provenance",
    )
    parser.add_argument(
        "--starts",
        type=flags.whole_number,
        metavar="N",
        help="the number of timed container starts for the report, after an untimed one that checks the answer; 0: only the "
        "latter (default: PREBAKE_STARTS, or 3)",
    )


def read(arguments: Arguments) -> ListImagesRequest | RenderRequest | BuildRequest:
    if "list" in arguments:
        arguments.require_only(
            "--list", _LIST_FLAGS, "--list lists every image of the project; leave the other flags out"
        )
        return ListImagesRequest(root=arguments.root(), json="json" in arguments)
    model = arguments.model()
    return _read_render(arguments, model) if "render" in arguments else _read_build(arguments, model)


def _read_render(arguments: Arguments, model: str) -> RenderRequest:
    advice = (
        "--render writes a context and builds nothing; leave the other flags out (with --render, --push names a registry to "
        "look for artifacts)"
    )
    arguments.require_only("--render", _RENDER_FLAGS, advice)
    return RenderRequest(
        root=arguments.root(),
        model=model,
        options=flags.plan_options(arguments),
        folder=Path(arguments.get("render")),
        accepted_licenses=arguments.accepted_licenses(),
        registries=tuple(arguments.get("push", ())),
        cache_from=tuple(arguments.get("cache_from", ())),
        labels=tuple(arguments.get("label", ())),
        json="json" in arguments,
    )


def _read_build(arguments: Arguments, model: str) -> BuildRequest:
    pushed = [f"registry:{reference}" for reference in arguments.get("push", ())]
    outputs = tuple(dict.fromkeys([*arguments.get("output", ["docker"]), *pushed]))
    if "starts" in arguments and "docker" not in outputs:
        arguments.error(
            f"--starts does not go with --output {outputs[0]}: only an image in the Engine is started; add --output docker"
        )
    return BuildRequest(
        root=arguments.root(),
        model=model,
        options=flags.plan_options(arguments),
        accepted_licenses=arguments.accepted_licenses(),
        outputs=outputs,
        starts=arguments.get("starts") if "starts" in arguments else _starts(arguments),
        platform=arguments.get("platform") or os.environ.get("DOCKER_DEFAULT_PLATFORM") or None,
        labels=tuple(arguments.get("label", ())),
        cache_from=tuple(dict.fromkeys(arguments.get("cache_from", ()))),
        **arguments.pick("plan", "json", "base", "compression", "weights", "require_attestations", "by_digest"),
    )


def _starts(arguments: Arguments) -> int:
    text = os.environ.get("PREBAKE_STARTS", "")
    try:
        return flags.whole_number(text) if text else DEFAULT_STARTS
    except argparse.ArgumentTypeError as error:
        arguments.error(f"PREBAKE_STARTS: {error}")


def run(request: ListImagesRequest | RenderRequest | BuildRequest) -> None:
    if isinstance(request, ListImagesRequest):
        _list(request)
    elif isinstance(request, RenderRequest):
        _render(request)
    elif request.plan:
        _plan(request)
    else:
        _build(request)


def _list(request: ListImagesRequest) -> None:
    from prebake.render.listing import list_document, list_text
    from prebake.spec.project import read_spec
    from prebake.spec.project_folder import list_images

    specs = [read_spec(request.root, name) for name in list_images(request.root)]
    if request.json:
        print(json.dumps(list_document(specs), ensure_ascii=False))
    else:
        print(list_text(specs))


def _render(request: RenderRequest) -> None:
    from prebake.plan.planner import make_plan
    from prebake.spec.project import read_project
    from prebake.workflow.render import render_folder

    project = read_project(request.root, request.model)
    options = with_metadata(request.options, request.root, request.labels)
    render_folder(project, make_plan(project, options), request, log)
    show({"folder": str(request.folder)}, str(request.folder), as_json=request.json)


def _plan(request: BuildRequest) -> None:
    from prebake.plan.planner import make_plan
    from prebake.render.build_options import BuildOptions
    from prebake.render.listing import plan_document, plan_text
    from prebake.spec.project import read_project
    from prebake.workflow.delivery.outputs import check_outputs
    from prebake.workflow.metadata.platform import plan_platform
    from prebake.workflow.pipeline.preview import preview
    from prebake.workflow.pipeline.step import pipeline_document, pipeline_lines

    options = with_metadata(request.options, request.root, request.labels)
    plan = make_plan(read_project(request.root, request.model), options)
    check_outputs(request.outputs, plan.tag, attestations=request.require_attestations, by_digest=request.by_digest)
    asked = BuildOptions(
        outputs=request.outputs,
        by_digest=request.by_digest,
        cache_from=request.cache_from,
        base=request.base,
        compression=request.compression,
        weights=request.weights,
        starts=request.starts,
        accepted_licenses=request.accepted_licenses,
        platform=plan_platform(request.platform),
    )
    with preview(plan, request.base, request.registries, request.compression, log, request.cache_from) as seen:
        steps, found = pipeline_document(seen.pipeline), seen.resolution.plan
        for left_out in seen.resolution.left_out:
            log(f"artifact: {left_out}")
    text = plan_text(found, asked, pipeline_lines(steps))
    show({**plan_document(found, asked), "pipeline": steps}, text, as_json=request.json)


def _build(request: BuildRequest) -> None:
    from prebake.io.terminal import read_screen
    from prebake.measure.report.summary import report_text
    from prebake.workflow.build import build_image

    options = with_metadata(request.options, request.root, request.labels)
    report = build_image(replace(request, options=options), log)
    if request.json:
        print_json(report)
    else:
        print(report_text(report, read_screen(sys.stdout)))


COMMAND = Command("build", HELP["build"], add_flags, read, run)
