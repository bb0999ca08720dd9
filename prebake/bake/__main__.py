"""``python -m prebake.bake export|compile|artifacts|tell|join``: what the stages of a build run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from prebake.bake.errors import write_error
from prebake.bake.settings import Settings
from prebake.errors import PrebakeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage; a PrebakeError becomes text on stderr and its own exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except PrebakeError as error:
        print(write_error(error), file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m prebake.bake", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="export|compile|artifacts|tell|join")
    export = verbs.add_parser("export", help="torch modules to graphs")
    export.add_argument("--image", required=True)
    export.add_argument("--checkpoint", required=True, type=Path)
    export.set_defaults(run=_export)
    compile_ = verbs.add_parser("compile", help="graphs to what the container opens, and the manifest")
    compile_.set_defaults(run=_compile)
    artifacts = verbs.add_parser("artifacts", help="graphs to what this very machine opens fastest")
    artifacts.add_argument("--keep-all", action="store_true", help="also what does not pay its bytes")
    artifacts.set_defaults(run=_artifacts)
    for verb in (compile_, artifacts):
        verb.add_argument("--exported", required=True, type=Path)
        verb.add_argument("--models", required=True, type=Path)
    tell = verbs.add_parser("tell", help="a manifest that tells of artifacts made elsewhere")
    tell.add_argument("--artifacts", required=True, type=Path)
    tell.add_argument("--models", required=True, type=Path)
    tell.set_defaults(run=_tell)
    join = verbs.add_parser("join", help="several models' graphs and manifests to those of one image")
    join.add_argument("--members", required=True, type=Path)
    join.set_defaults(run=_join)
    for verb in (export, compile_, artifacts, join):
        verb.add_argument("--settings", required=True, type=Path)
        verb.add_argument("--out", required=True, type=Path)
    return parser


# Imported by the verb that needs it: the compile stage has no torch.
def _export(options: argparse.Namespace) -> None:
    from prebake.bake.export import export_image

    export_image(replace(_settings(options), image=options.image), options.checkpoint, options.out)


def _compile(options: argparse.Namespace) -> None:
    from prebake.bake.compile import compile_image

    compile_image(_settings(options), options.exported, options.models, options.out)


def _artifacts(options: argparse.Namespace) -> None:
    from prebake.bake.artifacts_stage import make_artifacts

    make_artifacts(_settings(options), options.exported, options.models, options.out, keep_all=options.keep_all)


def _tell(options: argparse.Namespace) -> None:
    from prebake.bake.telling import tell_artifacts

    tell_artifacts(options.artifacts, options.models)


def _join(options: argparse.Namespace) -> None:
    from prebake.bake.join import join_image
    from prebake.bake.join_settings import JoinSettings

    join_image(JoinSettings.from_json(options.settings.read_bytes()), options.members, options.out)


def _settings(options: argparse.Namespace) -> Settings:
    return Settings.from_json(options.settings.read_bytes())


if __name__ == "__main__":
    sys.exit(main())
