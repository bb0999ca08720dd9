"""Verbs and flags. The one place that catches errors and prints: results on stdout, narration on stderr."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, cast

import prebake
from prebake.errors import Interrupted, PrebakeError, UnknownImage
from prebake.plan.values import Options
from prebake.spec.image import TARGETS, Target

Verb = Callable[[argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code. ``--model foley`` without a verb is ``build --model foley``."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0].startswith("-") and words[0] not in ("-h", "--help", "--version"):
        words.insert(0, "build")
    asked = _parser().parse_args(words)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        cast(Verb, asked.run)(asked)
    except PrebakeError as error:
        return _fail(error)
    except KeyboardInterrupt:
        return _fail(Interrupted("Interrupted.", next_action="run it again: what was finished is kept"))
    except BrokenPipeError:  # the reader of stdout went away, `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(
        f"Stopped by {signal.Signals(number).name}.", next_action="run it again: what was finished is kept"
    )


def _fail(error: PrebakeError) -> int:
    bold, plain = ("\x1b[1;31m", "\x1b[0m") if sys.stderr.isatty() and "NO_COLOR" not in os.environ else ("", "")
    print(f"{bold}error:{plain} {error.message}\n  next: {error.next_action}", file=sys.stderr)
    return error.exit_code


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))


def _root(asked: argparse.Namespace) -> Path:
    return Path(asked.project).resolve()


def _options(asked: argparse.Namespace) -> Options:
    return Options(cast(Target, asked.target), asked.checkpoint, asked.tag)


def _build(asked: argparse.Namespace) -> None:
    if asked.list:
        _list(asked)
    elif asked.model is None:
        raise UnknownImage("No image is named.", next_action="say `--model NAME`; `--list` shows the names")
    elif asked.plan or asked.render:
        _plan(asked)
    else:
        _build_image(asked)


def _list(asked: argparse.Namespace) -> None:
    from prebake.render.listing import list_document, list_text
    from prebake.spec.project import list_images, read_spec

    specs = [read_spec(_root(asked), name) for name in list_images(_root(asked))]
    if asked.json:
        print(json.dumps(list_document(specs), ensure_ascii=False))
    else:
        print(list_text(specs))


def _plan(asked: argparse.Namespace) -> None:
    from prebake.plan.making import make_plan
    from prebake.render.listing import plan_document, plan_text
    from prebake.spec.project import read_project
    from prebake.workflow.rendering import render_folder

    project = read_project(_root(asked), asked.model)
    plan = make_plan(project, _options(asked))
    if asked.render:
        render_folder(project, plan, Path(asked.render), asked.accept_licence, _tell)
        print(asked.render)
    elif asked.json:
        _print_json(plan_document(plan))
    else:
        print(plan_text(plan))


def _order(asked: argparse.Namespace, *, naive: bool = False) -> Any:
    from prebake.workflow.build import BuildOrder

    outputs = getattr(asked, "output", None) or ["docker"]
    pushed = [f"registry:{reference}" for reference in getattr(asked, "push", None) or []]
    return BuildOrder(
        _root(asked),
        asked.model,
        _options(asked),
        asked.base,
        asked.accept_licence,
        naive,
        tuple(dict.fromkeys([*outputs, *pushed])),
        getattr(asked, "compression", "auto"),
        getattr(asked, "weights", "baked"),
    )


def _build_image(asked: argparse.Namespace) -> None:
    from prebake.measure.summary import report_text
    from prebake.workflow.build import build_image

    report = build_image(_order(asked), _tell)
    if asked.json:
        _print_json(report)
    else:
        print(report_text(report))


def _explain(asked: argparse.Namespace) -> None:
    from prebake.workflow.explaining import Question, explain_image, explained_text

    question = Question(_root(asked), asked.model, _options(asked), asked.base, asked.registry, asked.compression)
    explained = explain_image(question, _tell)
    if asked.json:
        _print_json(explained)
    else:
        print(explained_text(explained))


def _lock(asked: argparse.Namespace) -> None:
    from prebake.workflow.lock import lock_image

    print(lock_image(_root(asked), asked.model, asked.checkpoint, _tell))


def _bench(asked: argparse.Namespace) -> None:
    from prebake.workflow.bench import bench_image, compare_images

    if asked.against:
        table, document = compare_images(_order(asked, naive=False), asked.against, asked.runs, _tell)
    else:
        table, document = bench_image(_order(asked, naive=True), asked.runs, asked.cache, _tell)
    if asked.json:
        _print_json(document)
    else:
        print(table)


def _demo(asked: argparse.Namespace) -> None:
    from prebake.workflow.demo import show_demo

    print(show_demo(_order(asked, naive=True), _tell))


def _bake_file(asked: argparse.Namespace) -> None:
    from prebake.workflow.fleet import Fleet, write_fleet

    fleet = Fleet(_root(asked), asked.model, asked.target, asked.accept_licence)
    print(write_fleet(fleet, Path(asked.folder), _tell))


def _deploy(asked: argparse.Namespace) -> None:
    from prebake.workflow.deploy import render_objects

    sys.stdout.write(
        render_objects(_root(asked), asked.model, asked.image, asked.weights_image, asked.replicas, _options(asked))
    )


def _verify(asked: argparse.Namespace) -> None:
    from prebake.workflow.verifying import verify_image

    options = Options(cast(Target, asked.target), asked.checkpoint)
    verified = verify_image(_root(asked), asked.model, options, asked.reference, _tell)
    if asked.json:
        _print_json(verified.document())
    else:
        print(verified.text())


def _engine(asked: argparse.Namespace) -> None:
    from prebake.workflow.engines import act

    print(act(asked.action, _tell))


def _schema(_asked: argparse.Namespace) -> None:
    from prebake.spec.reading import json_schema

    _print_json(json_schema())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="prebake", description=prebake.__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"prebake {prebake.__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    build = _verb(verbs, "build", _build, "build an image, prove it and measure its start (the default verb)")
    _image_flags(build, needs_model=False)
    build.add_argument("--plan", action="store_true", help="print what would be done, and do nothing")
    build.add_argument("--render", metavar="DIR", help="write the Dockerfile and its context for `docker buildx build`")
    build.add_argument(
        "--output",
        action="append",
        metavar="PLACE",
        help="where the image goes: docker (the default; started and compared there), oci:DIR, oci:FILE.tar, registry:REF;"
        " may be given again",
    )
    build.add_argument("--push", action="append", metavar="REF", help="push it as well, once its answer was compared")
    build.add_argument(
        "--weights",
        choices=("baked", "volume"),
        default="baked",
        help="volume: everything under /models as an image of its own, TAG-weights, for Kubernetes image volumes",
    )
    _compression_flag(build)
    build.add_argument("--list", action="store_true", help="list images and targets; with --json a CI matrix")
    build.add_argument("--json", action="store_true", help="print JSON for programs")

    explain = _verb(
        verbs, "explain", _explain, "show each layer, who has it, and what a change would make again and send"
    )
    _image_flags(explain)
    _compression_flag(explain)
    explain.add_argument("--registry", metavar="REF", help="a repository to ask as well")
    explain.add_argument("--json", action="store_true")

    lock = _verb(verbs, "lock", _lock, "resolve and pin every file of the checkpoints, and the base image")
    lock.add_argument("--model", required=True)
    lock.add_argument("--checkpoint", help="only this one; the others keep what is pinned")

    bench = _verb(verbs, "bench", _bench, "measure start-up against the naive image, in one run")
    _image_flags(bench)
    bench.add_argument("--runs", type=_positive, default=10)
    bench.add_argument(
        "--cache", choices=("warm", "cold"), default="warm", help="cold drops the page cache before each start (root)"
    )
    bench.add_argument("--against", metavar="IMAGE", help="instead of the naive image: what a change is compared with")
    bench.add_argument("--json", action="store_true")

    demo = _verb(verbs, "demo", _demo, "build, start, send a real request, show the measured start")
    _image_flags(demo)

    fleet = _verb(verbs, "bake-file", _bake_file, "write contexts and docker-bake.json for `docker buildx bake`")
    fleet.add_argument("folder", metavar="DIR", help="where the contexts and the file go")
    fleet.add_argument("--model", action="append", default=[], help="may be given again; all where none is given")
    fleet.add_argument(
        "--target", action="append", default=[], choices=TARGETS, help="may be given again; all by default"
    )
    fleet.add_argument("--accept-licence", metavar="ID", default=os.environ.get("PREBAKE_ACCEPT_LICENCE"))

    deploy = _verb(verbs, "deploy", _deploy, "write a Kubernetes Deployment and Service")
    _image_flags(deploy)
    deploy.add_argument("--image", help="reference by digest; the last build's where none is given")
    deploy.add_argument("--weights-image", metavar="REF", help="by digest: /models, where --image does not hold it")
    deploy.add_argument("--replicas", type=_positive, default=1)

    verify = _verb(
        verbs, "verify", _verify, "hold an image at a registry against the lock and this checkout, byte for byte"
    )
    verify.add_argument("reference", metavar="REF", help="HOST/PATH, by :TAG or @sha256:…")
    verify.add_argument("--model", required=True, help="a folder of images/")
    verify.add_argument("--target", choices=TARGETS, default="cpu")
    verify.add_argument("--checkpoint", help="one of image.yaml's checkpoints, if not its default")
    verify.add_argument("--json", action="store_true")

    engine = _verb(verbs, "engine", _engine, "a private Docker Engine where none answers")
    engine.add_argument("action", choices=("up", "down", "status", "remove"))

    _verb(verbs, "schema", _schema, "print the JSON Schema of image.yaml")
    return parser


def _verb(verbs: Any, name: str, run: Verb, what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=what, description=what, allow_abbrev=False)
    parser.add_argument(
        "--project", default=".", metavar="DIR", help="the folder that holds images/ (default: this one)"
    )
    parser.set_defaults(run=run)
    return parser


def _image_flags(parser: argparse.ArgumentParser, *, needs_model: bool = True) -> None:
    parser.add_argument("--model", required=needs_model, help="a folder of images/")
    parser.add_argument("--target", choices=TARGETS, default="cpu")
    parser.add_argument("--checkpoint", help="one of image.yaml's checkpoints, if not its default")
    parser.add_argument("--tag", help="the image's reference (default: prebake/MODEL:TARGET-CHECKPOINT)")
    parser.add_argument("--base", default="auto", help="auto, bootstrap, or an image reference with Python 3.11")
    parser.add_argument("--accept-licence", metavar="ID", default=os.environ.get("PREBAKE_ACCEPT_LICENCE"))


def _compression_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--compression", choices=("auto", "raw", "zstd"), default="auto", help="of layers; auto packs what it pays for"
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
