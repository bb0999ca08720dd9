"""Every field of a command's request is read: a flag that changes the request has an effect."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import sys
import typing
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from prebake.commands.shared.command import Command
from tests.support.repository import ROOT
from tools.reference.commands import find_commands


@pytest.mark.parametrize(("name", "command"), list(find_commands()), ids=[name for name, _ in find_commands()])
def test_every_field_of_a_request_is_read_by_the_action_or_the_workflow(name: str, command: Command) -> None:
    trees = {module: ast.parse(inspect.getsource(module)) for module in modules_of(command)}
    reached = {found for tree in trees.values() for node in functions(tree) for found in attributes(node)}
    for module, tree in trees.items():
        for kind in sorted({kind for node in functions(tree) for kind in requests_of(node)}):
            request_class = getattr(module, kind)
            read = reached | attributes_of_workflow(kind)
            unread = [each.name for each in dataclasses.fields(request_class) if each.name not in read]
            assert not unread, f"{kind}: nothing reads {unread}"
            for field, part in parts_of(request_class):
                read = {found for tree in trees.values() for found in attributes_of_part(tree, field, part.__name__)}
                unread = [each.name for each in dataclasses.fields(part) if each.name not in read]
                assert not unread, f"{part.__name__}: nothing reads {unread}"


def modules_of(command: Command) -> list[ModuleType]:
    """The command's module; all modules of its folder, if the folder is of this command alone."""
    module = sys.modules[command.add_flags.__module__]
    package = module.__name__.rpartition(".")[0]
    if getattr(sys.modules[package], "COMMAND", None) is not command:
        return [module]
    return [each for name, each in sorted(sys.modules.items()) if name.startswith(f"{package}.")]


def functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


def parts_of(request_class: Any) -> list[tuple[str, Any]]:
    """The fields that are dataclasses of the commands' own."""
    hints = typing.get_type_hints(request_class)
    own = ((each.name, hints[each.name]) for each in dataclasses.fields(request_class))
    return [
        (name, kind)
        for name, kind in own
        if dataclasses.is_dataclass(kind) and kind.__module__.startswith("prebake.commands.")
    ]


def attributes_of_part(tree: ast.Module, field: str, kind: str) -> set[str]:
    """The attributes that the module reads of ``request.FIELD``, and those of ``self`` that the methods of its class read."""
    outside = [
        each.attr
        for each in ast.walk(tree)
        if isinstance(each, ast.Attribute)
        and isinstance(each.value, ast.Attribute)
        and each.value.attr == field
        and is_request(each.value.value)
    ]
    methods = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind]
    read = [each for node in methods for each in ast.walk(node) if isinstance(each, ast.Attribute)]
    return {*outside, *(each.attr for each in read if isinstance(each.value, ast.Name) and each.value.id == "self")}


def requests_of(node: ast.FunctionDef) -> Iterator[str]:
    """The classes of a function's request."""
    for argument in node.args.args:
        if argument.arg in ("request", "_request") and argument.annotation:
            yield from ast.unparse(argument.annotation).split(" | ")


def attributes_of_workflow(kind: str) -> set[str]:
    """The attributes that modules of ``prebake/workflow`` read: of any value if the module imports the request's class,
    otherwise of ``x.request`` only."""
    return {name for names in workflow_names() for name in (names.read if kind in names.imported else names.of_request)}


@dataclasses.dataclass(frozen=True)
class ModuleNames:
    imported: set[str]
    read: set[str]
    """Attributes that the module reads of any value."""
    of_request: set[str]
    """Attributes that it reads of ``x.request``."""


@functools.cache
def workflow_names() -> list[ModuleNames]:
    modules = []
    for path in (ROOT / "prebake/workflow").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
        read = [node for node in nodes if isinstance(node, ast.Attribute)]
        of_request = {node.attr for node in read if ends_in_request(node.value)}
        modules.append(ModuleNames(imported, {node.attr for node in read}, of_request))
    return modules


def ends_in_request(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "request"


def attributes(node: ast.FunctionDef) -> set[str]:
    """The attributes of its request that a function reads."""
    found = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute) and is_request(each.value)}
    return {*found, "outputs"} if "registries" in found else found


def is_request(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "request"
