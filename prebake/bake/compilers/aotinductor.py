"""AOTInductor: compile the blocks of a torch network to shared libraries. The weights stay in the published files.

A block is exported with its inputs of the warm-up request. Equal blocks share one library. AOTInductor libraries do not validate
inputs, so their shapes and dtypes are stored in a sidecar file.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch._inductor.cpp_builder import get_compiler_version_info
from torch.utils._pytree import tree_flatten, tree_map

from entrypoints.runtime.aotinductor import (
    CALL_FILE,
    LIBRARY_FILE,
    CallSignature,
)
from prebake.documents.canonical import canonical_json, digest_bytes

OPTIONS = {
    "aot_inductor.package_constants_in_so": False,
    "always_keep_tensor_constants": True,
    "cpp_cache_precompile_headers": False,  # for the two files of one library they cost more than they save
    "cpp.march": "",  # the default is this very processor; the instructions that inductor itself uses are among the key fields
}
Arguments = dict[str, Any]
"""The arguments of one call of a block, by the names of ``forward``'s parameters."""


class NotCompiled(Exception):
    """A network's blocks cannot be compiled; the message says why."""


@dataclass(frozen=True)
class CompiledBlocks:
    """The folder of a library with its sidecar file, and the numbers of the blocks that it computes."""

    folder: Path
    blocks: tuple[int, ...]


def find_compiler() -> str:
    """The path of the C++ compiler that AOTInductor uses; empty if there is none."""
    return shutil.which(os.environ.get("CXX", "g++")) or ""


def describe_compiler() -> str:
    """The compiler's name and version, as it prints them: ``gcc version 12.2.0 (Debian 12.2.0-14)``."""
    output: str = get_compiler_version_info(find_compiler())
    match = re.search(r"[a-zA-Z]+ version [^_]*", output)
    return (match.group() if match else output).strip()


def compile_blocks(
    blocks: Sequence[torch.nn.Module], calls: Mapping[int, Arguments], folder: Path
) -> list[CompiledBlocks]:
    """Compile the blocks for their ``calls``; ``folder``, which is created, gets a folder for each library. Raises
    NotCompiled with torch's message."""
    programs: dict[str, tuple[torch.export.ExportedProgram, list[int]]] = {}
    for number, arguments in sorted(calls.items()):
        program = _export(blocks[number], arguments)
        programs.setdefault(_identify(program), (program, []))[1].append(number)
    return [
        _compile(program, calls[numbers[0]], folder / str(index), tuple(numbers))
        for index, (program, numbers) in enumerate(programs.values())
    ]


def _export(block: torch.nn.Module, arguments: Arguments) -> torch.export.ExportedProgram:
    """Export with every dimension dynamic that the block leaves open. A dimension of 1 is fixed: torch broadcasts it."""
    kinds = {parameter.kind for parameter in inspect.signature(block.forward).parameters.values()}
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY}:
        raise NotCompiled(f"{type(block).__name__}.forward takes arguments without a name")
    shapes = tree_map(_dynamic, arguments)
    try:
        with torch.no_grad():
            return torch.export.export(block, (), arguments, dynamic_shapes=shapes)
    except Exception as error:  # tracing runs foreign code, which may raise anything
        raise NotCompiled(f"{type(block).__name__}: {type(error).__name__}: {error}") from error


def _dynamic(leaf: Any) -> Any:
    return dict.fromkeys(range(leaf.ndim), torch.export.Dim.AUTO) if isinstance(leaf, torch.Tensor) else None


def _identify(program: torch.export.ExportedProgram) -> str:
    """A digest that is equal for programs with the same computation, and inputs of the same names and shapes."""
    readable = program.graph_module.print_readable(print_output=False)
    return digest_bytes(f"{readable}\n{_guards(program)}\n{program.range_constraints}".encode())


def _compile(
    program: torch.export.ExportedProgram, arguments: Arguments, folder: Path, blocks: tuple[int, ...]
) -> CompiledBlocks:
    call = _describe_call(program, arguments)
    with tempfile.TemporaryDirectory(prefix="aot-") as scratch:
        package = f"{scratch}/block.pt2"
        try:
            torch._inductor.aoti_compile_and_package(program, package_path=package, inductor_configs=OPTIONS)
        except Exception as error:  # of the compiler or of inductor, which share no base class but this
            raise NotCompiled(f"{type(error).__name__}: {error}") from error
        _unpack(Path(package), folder)
    (folder / CALL_FILE).write_bytes(canonical_json(call._asdict()))
    return CompiledBlocks(folder, blocks)


def _unpack(package: Path, folder: Path) -> None:
    """Extract the files that a start opens: the library, and its kernels for a GPU. Their source files are left out."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(package) as archive:
        for entry in archive.namelist():
            name = LIBRARY_FILE if entry.endswith(".so") else Path(entry).name
            if Path(name).suffix in (".so", ".cubin", ".hsaco"):
                (folder / name).write_bytes(archive.read(entry))


def _describe_call(program: torch.export.ExportedProgram, arguments: Arguments) -> CallSignature:
    """The content of the sidecar file. Raises NotCompiled if the program has constant tensors that are no buffers of the
    block."""
    if program.constants and set(program.constants) - set(program.graph_signature.inputs_to_buffers.values()):
        raise NotCompiled(
            f"{', '.join(sorted(program.constants))}: forward creates this tensor, which no file of weights has"
        )
    given = set(program.graph_signature.user_inputs)
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder" and node.name in given}
    names = [spec.arg for spec in program.graph_signature.input_specs if spec.kind.name == "USER_INPUT"]
    inputs = [
        _describe_input(program, getattr(name, "name", ""), nodes, leaf)
        for name, leaf in zip(names, tree_flatten(arguments)[0], strict=True)
    ]
    call = CallSignature(tuple(inputs), _guards(program))
    json.dumps(call)
    return call


def _describe_input(
    program: torch.export.ExportedProgram, name: str, nodes: Mapping[str, torch.fx.Node], leaf: Any
) -> dict[str, Any]:
    if not isinstance(leaf, torch.Tensor):
        if leaf is not None and not isinstance(leaf, (bool, int, float, str)):
            raise NotCompiled(f"{name} is a {type(leaf).__name__}, not a tensor or a plain value")
        return {"value": leaf}
    dims = [_describe_dim(program, size) for size in nodes[name].meta["val"].shape]
    return {"dtype": str(leaf.dtype), "device": leaf.device.type, "dims": dims}


def _describe_dim(program: torch.export.ExportedProgram, size: Any) -> int | list[int | None]:
    """A fixed size, or the bounds of a dynamic one. Relations between dimensions are among the guards."""
    if isinstance(size, int) or size.node.expr.is_number:
        return int(size)
    bounds = program.range_constraints.get(size.node.expr)
    return [_finite(bounds.lower), _finite(bounds.upper)] if bounds is not None else [None, None]


def _finite(bound: Any) -> int | None:
    return int(bound) if getattr(bound, "is_Integer", isinstance(bound, int)) and abs(bound) < 1 << 62 else None


def _guards(program: torch.export.ExportedProgram) -> tuple[str, ...]:
    """The relations between dimensions that torch found while tracing. torch's own exported programs check the same."""
    return tuple(program._guards_code or ())
