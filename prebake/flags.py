"""Verbs and flags: what can be asked for, and the help that says it."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import prebake
from prebake import verbs
from prebake.sizes import read_bytes
from prebake.spec.component import TENSOR_TYPE
from prebake.spec.image import TARGETS

Verb = Callable[[argparse.Namespace], None]


def parse(words: Sequence[str]) -> tuple[Verb, argparse.Namespace]:
    """The verb's action, and what it is asked. Ends the process where words are wrong, as argparse does."""
    asked = _parser().parse_args(words)
    return cast(Verb, asked.run), asked


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="prebake", description=prebake.__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"prebake {prebake.__version__}")
    subparsers = parser.add_subparsers(required=True, metavar="VERB")
    verb = partial(_verb, subparsers)
    _build_flags(verb("build", verbs.build, "build an image, prove it and measure its start (the default verb)"))
    _compile_flags(verb("compile", verbs.compile_, "compile for this machine, for builds elsewhere to take"))
    _explain_flags(
        verb("explain", verbs.explain, "show each layer, who has it, and what a change would make again and send")
    )
    _init_flags(verb("init", verbs.init, "look at a checkpoint and write images/NAME/, ready to build"))
    _lock_flags(verb("lock", verbs.lock, "resolve and pin every file of the checkpoints, and the base image"))
    _bench_flags(verb("bench", verbs.bench, "measure start-up against the naive image, in one run"))
    _image_flags(verb("demo", verbs.demo, "build, start, send a real request, show the measured start"))
    _bake_file_flags(verb("bake-file", verbs.bake_file, "write contexts and docker-bake.json for `docker buildx bake`"))
    _deploy_flags(verb("deploy", verbs.deploy, "write a Kubernetes Deployment and Service"))
    _verify_flags(
        verb("verify", verbs.verify, "hold an image at a registry against the lock and this checkout, byte for byte")
    )
    _cache_verbs(subparsers)
    _engine_flags(verb("engine", verbs.engine, "a private Docker Engine where none answers"))
    verb("schema", verbs.schema, "print the JSON Schema of image.yaml")
    return parser


def _verb(group: Any, name: str, run: Verb, what: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = group.add_parser(name, help=what, description=what, allow_abbrev=False)
    parser.add_argument(
        "--project", default=".", metavar="DIR", help="the folder that holds images/ (default: this one)"
    )
    parser.set_defaults(run=run)
    return parser


def _build_flags(build: argparse.ArgumentParser) -> None:
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
    build.add_argument(
        "--starts",
        type=_positive,
        default=os.environ.get("PREBAKE_STARTS", "3"),
        metavar="N",
        help="fresh starts that are timed for the report, after one that is not counted (default: 3, or PREBAKE_STARTS)",
    )
    build.add_argument("--list", action="store_true", help="list images and targets; with --json a CI matrix")
    _json_flag(build, "print JSON for programs")


def _compile_flags(compile_: argparse.ArgumentParser) -> None:
    _choice_flags(compile_)
    compile_.add_argument("--base", default="auto", help="auto, bootstrap, or an image reference with Python 3.11")
    _licence_flag(compile_)
    compile_.add_argument(
        "--push", action="append", metavar="REF", help="a repository that gets what was compiled, too"
    )
    compile_.add_argument(
        "--engine",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="in a container, with the GPU by device request; --no-engine: by this Python, which then has the export packages",
    )
    compile_.add_argument("--keep-all", action="store_true", help="also what does not pay its bytes (docs/compile.md)")
    _json_flag(compile_)


def _explain_flags(explain: argparse.ArgumentParser) -> None:
    _image_flags(explain)
    _compression_flag(explain)
    explain.add_argument("--registry", metavar="REF", help="a repository to ask as well")
    _json_flag(explain)


def _init_flags(init: argparse.ArgumentParser) -> None:
    init.add_argument("name", metavar="NAME", help="of the image: lower-case letters, digits and _, a letter first")
    init.add_argument(
        "--from",
        dest="origin",
        required=True,
        metavar="PATH",
        help="ONNX, a file or a folder; a .pt2 or TorchScript file; a transformers folder (text, token or image classification, "
        "embeddings, speech); a diffusers pipeline; or where one is published: hub:OWNER/NAME[@REVISION], modelscope:…, s3://…, "
        "gs://…, oci:…, a file's URL",
    )
    init.add_argument(
        "--input",
        action="append",
        default=[],
        type=_input,
        metavar="NAME=TYPE[AXES]",
        help="what TorchScript takes, which it does not tell: 'pixels=float32[batch, 3, 224, 224]'; of ONNX, the sizes to try it "
        "with: 'images=[1, 3, 640, 640]'; may be given again",
    )
    init.add_argument(
        "--sample", metavar="FILE", help="real inputs of published graphs: .npz, .npy or .json (sample.json)"
    )
    init.add_argument(
        "--licence", metavar="ID", help="the weights' SPDX identifier, or LicenseRef-… (default: the model card's)"
    )


def _lock_flags(lock: argparse.ArgumentParser) -> None:
    lock.add_argument("--model", required=True)
    lock.add_argument("--checkpoint", help="only this one; the others keep what is pinned")


def _bench_flags(bench: argparse.ArgumentParser) -> None:
    _image_flags(bench)
    bench.add_argument("--runs", type=_positive, default=10)
    bench.add_argument(
        "--cache", choices=("warm", "cold"), default="warm", help="cold drops the page cache before each start (root)"
    )
    bench.add_argument(
        "--size", type=_size, metavar="SIZE", help="of a sample's weights, as 1GB: the same architecture, made for this"
    )
    bench.add_argument("--against", metavar="IMAGE", help="instead of the naive image: what a change is compared with")
    bench.add_argument(
        "--check",
        action="store_true",
        help="fail where the first answer or later ones are surely slower than they should be",
    )
    _json_flag(bench)


def _bake_file_flags(fleet: argparse.ArgumentParser) -> None:
    fleet.add_argument("folder", metavar="DIR", help="where the contexts and the file go")
    fleet.add_argument("--model", action="append", default=[], help="may be given again; all where none is given")
    fleet.add_argument(
        "--target", action="append", default=[], choices=TARGETS, help="may be given again; all by default"
    )
    _licence_flag(fleet)


def _deploy_flags(deploy: argparse.ArgumentParser) -> None:
    _image_flags(deploy)
    deploy.add_argument("--image", help="reference by digest; the last build's where none is given")
    deploy.add_argument("--weights-image", metavar="REF", help="by digest: /models, where --image does not hold it")
    deploy.add_argument("--replicas", type=_positive, default=1)


def _verify_flags(verify: argparse.ArgumentParser) -> None:
    verify.add_argument("reference", metavar="REF", help="HOST/PATH, by :TAG or @sha256:…")
    verify.add_argument("--weights-image", metavar="REF", help="that of /models, where REF does not hold it")
    _choice_flags(verify)
    _json_flag(verify)


def _cache_verbs(group: Any) -> None:
    what = "the store that builds and projects share: what it holds, whether it is whole, and making room"
    cache: argparse.ArgumentParser = group.add_parser("cache", help=what, description=what, allow_abbrev=False)
    verb = partial(_verb, cache.add_subparsers(required=True, metavar="ACTION"))
    _json_flag(verb("list", verbs.cache_list, "show every object, what was not finished, and their sizes"))
    verify = verb("verify", verbs.cache_verify, "hash every object again; tells all that are damaged")
    verify.add_argument("--repair", action="store_true", help="remove them: the next build fetches or makes them again")
    prune = verb("prune", verbs.cache_prune, "remove downloads that did not end, and what killed processes left")
    prune.add_argument(
        "--keep",
        nargs="*",
        metavar="PROJECT",
        help="and every object that none of these projects needs (default where none is named: this one)",
    )
    prune.add_argument("--dry-run", action="store_true", help="only tell what would go")
    _json_flag(prune)


def _engine_flags(engine: argparse.ArgumentParser) -> None:
    engine.add_argument("action", choices=("up", "down", "status", "remove"))


def _image_flags(parser: argparse.ArgumentParser, *, needs_model: bool = True) -> None:
    _choice_flags(parser, needs_model=needs_model)
    parser.add_argument("--tag", help="the image's reference (default: prebake/MODEL:TARGET-CHECKPOINT)")
    parser.add_argument("--base", default="auto", help="auto, bootstrap, or an image reference with Python 3.11")
    _licence_flag(parser)


def _choice_flags(parser: argparse.ArgumentParser, *, needs_model: bool = True) -> None:
    """Which image of the project."""
    parser.add_argument("--model", required=needs_model, help="a folder of images/")
    parser.add_argument("--target", choices=TARGETS, default="cpu")
    parser.add_argument("--checkpoint", help="one of image.yaml's checkpoints, if not its default")


def _licence_flag(parser: argparse.ArgumentParser) -> None:
    given = os.environ.get("PREBAKE_ACCEPT_LICENCE", "")
    parser.add_argument(
        "--accept-licence",
        action="append",
        metavar="ID",
        default=[id.strip() for id in given.split(",") if id.strip()],
        help="of weights whose terms ask for it, once they were read; may be given again",
    )


def _compression_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--compression", choices=("auto", "raw", "zstd"), default="auto", help="of layers; auto packs what it pays for"
    )


def _json_flag(parser: argparse.ArgumentParser, what: str | None = None) -> None:
    parser.add_argument("--json", action="store_true", help=what)


def _size(text: str) -> str:
    try:
        read_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _input(text: str) -> tuple[str, str]:
    name, _, kind = text.partition("=")
    if not name or not re.fullmatch(TENSOR_TYPE, kind if not kind.startswith("[") else f"float32{kind}"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no NAME=TYPE[AXES], such as 'pixels=float32[batch, 3, 224, 224]'"
        )
    return name, kind


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
