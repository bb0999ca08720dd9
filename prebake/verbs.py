"""The verbs' actions: each calls its story in ``prebake/workflow`` and prints what came of it.

Imports are inside: a verb loads what it needs, and ``--version`` nothing of it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from prebake.errors import UnknownImage
from prebake.plan.values import Options
from prebake.spec.image import Target


def build(asked: argparse.Namespace) -> None:
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
    from prebake.workflow.artifacts import look_up
    from prebake.workflow.rendering import Rendering, render_folder

    project = read_project(_root(asked), asked.model)
    plan = make_plan(project, _options(asked))
    if asked.render:
        rendering = Rendering(Path(asked.render), asked.accept_licence, _registries(asked))
        render_folder(project, plan, rendering, _tell)
        print(asked.render)
    elif asked.json:
        _print_json(plan_document(look_up(plan, _registries(asked), _tell)))
    else:
        print(plan_text(look_up(plan, _registries(asked), _tell)))


def _build_image(asked: argparse.Namespace) -> None:
    from prebake.measure.summary import report_text
    from prebake.workflow.build import build_image

    report = build_image(_order(asked), _tell)
    if asked.json:
        _print_json(report)
    else:
        print(report_text(report))


def compile_(asked: argparse.Namespace) -> None:
    from prebake.workflow.compiling import CompileOrder, compile_model, compiled_text

    options = Options(cast(Target, asked.target), asked.checkpoint)
    push = tuple(asked.push or ())
    order = CompileOrder(
        _root(asked), asked.model, options, asked.base, asked.accept_licence, push, asked.engine, asked.keep_all
    )
    report = compile_model(order, _tell)
    if asked.json:
        _print_json(report)
    else:
        print(compiled_text(report))


def explain(asked: argparse.Namespace) -> None:
    from prebake.workflow.explaining import Question, explain_image, explained_text

    question = Question(_root(asked), asked.model, _options(asked), asked.base, asked.registry, asked.compression)
    explained = explain_image(question, _tell)
    if asked.json:
        _print_json(explained)
    else:
        print(explained_text(explained))


def init(asked: argparse.Namespace) -> None:
    from prebake.workflow.beginnings.beginning import Asked
    from prebake.workflow.init import init_image

    sample = Path(asked.sample) if asked.sample else None
    told = Asked(_root(asked), asked.name, asked.origin, asked.licence, dict(asked.input), sample=sample)
    print(init_image(told, _tell))


def lock(asked: argparse.Namespace) -> None:
    from prebake.workflow.lock import lock_image

    print(lock_image(_root(asked), asked.model, asked.checkpoint, _tell))


def bench(asked: argparse.Namespace) -> None:
    from prebake.workflow.bench import bench_image, compare_images, require_bounds

    if asked.against:
        table, document = compare_images(_order(asked, naive=False), asked.against, asked.runs, _tell)
    else:
        table, document = bench_image(_order(asked, naive=True), asked.runs, asked.cache, _tell)
    if asked.json:
        _print_json(document)
    else:
        print(table)
    if asked.check and not asked.against:
        require_bounds(document)


def demo(asked: argparse.Namespace) -> None:
    from prebake.workflow.demo import show_demo

    print(show_demo(_order(asked, naive=True), _tell))


def bake_file(asked: argparse.Namespace) -> None:
    from prebake.workflow.fleet import Fleet, write_fleet

    fleet = Fleet(_root(asked), asked.model, asked.target, asked.accept_licence)
    print(write_fleet(fleet, Path(asked.folder), _tell))


def deploy(asked: argparse.Namespace) -> None:
    from prebake.workflow.deploy import render_objects

    sys.stdout.write(
        render_objects(_root(asked), asked.model, asked.image, asked.weights_image, asked.replicas, _options(asked))
    )


def verify(asked: argparse.Namespace) -> None:
    from prebake.workflow.verifying import Claim, verify_image

    options = Options(cast(Target, asked.target), asked.checkpoint)
    verified = verify_image(Claim(_root(asked), asked.model, options, asked.reference, asked.weights_image), _tell)
    if asked.json:
        _print_json(verified.document())
    else:
        print(verified.text())


def cache_list(asked: argparse.Namespace) -> None:
    from prebake.workflow.cache import list_cache, listed_text

    listed = list_cache()
    if asked.json:
        _print_json(listed)
    else:
        print(listed_text(listed))


def cache_verify(asked: argparse.Namespace) -> None:
    from prebake.workflow.cache import verify_cache

    print(verify_cache(asked.repair, _tell))


def cache_prune(asked: argparse.Namespace) -> None:
    from prebake.workflow.cache import Pruning, prune_cache, pruned_text

    keep = None if asked.keep is None else [Path(root).resolve() for root in asked.keep or [asked.project]]
    pruned = prune_cache(Pruning(keep, asked.dry_run), _tell)
    if asked.json:
        _print_json(pruned)
    else:
        print(pruned_text(pruned))


def engine(asked: argparse.Namespace) -> None:
    from prebake.workflow.engines import act

    print(act(asked.action, _tell))


def schema(_asked: argparse.Namespace) -> None:
    from prebake.spec.reading import json_schema

    _print_json(json_schema())


def _order(asked: argparse.Namespace, *, naive: bool = False) -> Any:
    from prebake.workflow.build import STARTS, BuildOrder

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
        getattr(asked, "size", None),
        getattr(asked, "starts", STARTS),
    )


def _registries(asked: argparse.Namespace) -> list[str]:
    """The references of the registries that a build would go to."""
    outputs = [text.partition(":")[2] for text in asked.output or [] if text.startswith("registry:")]
    return [*outputs, *(asked.push or [])]


def _root(asked: argparse.Namespace) -> Path:
    return Path(asked.project).resolve()


def _options(asked: argparse.Namespace) -> Options:
    return Options(cast(Target, asked.target), asked.checkpoint, asked.tag)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))
