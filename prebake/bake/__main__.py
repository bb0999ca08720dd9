"""``python -m prebake.bake export|compile|artifacts|add-artifacts|join``: the program that runs the stages of a build."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from prebake.bake.errors import format_error, to_document
from prebake.documents.settings import StageSettings
from prebake.errors import PrebakeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage. A PrebakeError becomes text on stderr, ``error.json`` in ``--out`` and its own exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except PrebakeError as error:
        print(format_error(error), file=sys.stderr)
        if options.out is not None:
            with suppress(OSError):  # the folder may be read-only; the error is also on stderr and in the exit code
                to_document(error).save(options.out)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m prebake.bake", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="export|compile|artifacts|add-artifacts|join")
    export = verbs.add_parser("export", help="export torch modules to graphs")
    export.add_argument("--image", required=True)
    export.add_argument("--checkpoint", required=True, type=Path)
    export.set_defaults(run=_export)
    compile_ = verbs.add_parser(
        "compile", help="optimize graphs for the container, compare their answers, write the manifest"
    )
    compile_.set_defaults(run=_compile)
    artifacts = verbs.add_parser("artifacts", help="compile graphs for this kind of machine, and keep the fastest")
    artifacts.add_argument("--keep-all", action="store_true", help="keep artifacts that do not pay, too")
    artifacts.set_defaults(run=_artifacts)
    for verb in (compile_, artifacts):
        verb.add_argument("--exported", required=True, type=Path)
        verb.add_argument("--models", required=True, type=Path)
    add = verbs.add_parser("add-artifacts", help="add artifacts that were compiled elsewhere to a manifest")
    add.add_argument("--artifacts", required=True, type=Path)
    add.add_argument("--models", required=True, type=Path)
    add.set_defaults(run=_add_artifacts, out=None)  # it runs only in a Dockerfile, where no error.json can be read
    join = verbs.add_parser("join", help="join the folders of several models to that of one image")
    join.add_argument("--members", required=True, type=Path)
    join.set_defaults(run=_join)
    for verb in (export, compile_, artifacts, join):
        verb.add_argument("--settings", required=True, type=Path)
        verb.add_argument("--out", required=True, type=Path)
    return parser


# Each stage imports only its own packages: the compile stage has no torch.
def _export(options: argparse.Namespace) -> None:
    from prebake.bake.stages.export import export_image

    export_image(replace(_settings(options), image=options.image), options.checkpoint, options.out)


def _compile(options: argparse.Namespace) -> None:
    from prebake.bake.stages.compile_graphs import compile_image

    compile_image(_settings(options), options.exported, options.models, options.out)


def _artifacts(options: argparse.Namespace) -> None:
    from prebake.bake.stages.compile_artifacts import compile_artifacts

    compile_artifacts(_settings(options), options.exported, options.models, options.out, keep_all=options.keep_all)


def _add_artifacts(options: argparse.Namespace) -> None:
    from prebake.bake.stages.add_artifacts import add_artifacts_to_folder

    add_artifacts_to_folder(options.artifacts, options.models)


def _join(options: argparse.Namespace) -> None:
    from prebake.bake.stages.join import join_image
    from prebake.documents.join_settings import JoinSettings

    join_image(JoinSettings.from_json(options.settings.read_bytes()), options.members, options.out)


def _settings(options: argparse.Namespace) -> StageSettings:
    return StageSettings.from_json(options.settings.read_bytes())


if __name__ == "__main__":
    sys.exit(main())
