"""Blocks of networks to libraries, by AOTInductor: their weights stay where they are published.

A block is exported with what the warm-up request gave it; equal blocks share one library. What a library was compiled for is
written beside it, as it checks nothing itself.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch._inductor.cpp_builder import get_compiler_version_info
from torch.utils._pytree import tree_flatten, tree_map

from entrypoints.ahead import CALL, LIBRARY, Call, CompiledBlock, Unfit, name_arguments
from prebake.bake.allowances import tolerance_of
from prebake.bake.arrays import Array
from prebake.bake.component import Precision
from prebake.bake.documents import canonical_json, digest_bytes
from prebake.bake.parity import Finding
from prebake.bake.quality import measure
from prebake.bake.warmed import Opened

OPTIONS = {
    "aot_inductor.package_constants_in_so": False,
    "always_keep_tensor_constants": True,
    "cpp_cache_precompile_headers": False,  # for the two files of one library they cost more than they save
    "cpp.march": "",  # else of the very processor; the instructions that inductor itself asks for are among the key fields
}
Arguments = dict[str, Any]


class NotCompiled(Exception):
    """Why a network's blocks cannot be compiled ahead."""


@dataclass(frozen=True)
class Made:
    """A library in its folder, and the numbers of the blocks that it computes."""

    folder: Path
    blocks: tuple[int, ...]


def find_compiler() -> str:
    """The C++ compiler that AOTInductor would ask; empty where there is none."""
    return shutil.which(os.environ.get("CXX", "g++")) or ""


def describe_compiler() -> str:
    """Its name and version, as it tells them: ``gcc version 12.2.0 (Debian 12.2.0-14)``."""
    told: str = get_compiler_version_info(find_compiler())
    found = re.search(r"[a-zA-Z]+ version [^_]*", told)
    return (found.group() if found else told).strip()


def capture(opened: Opened) -> dict[str, dict[int, Arguments]]:
    """By component and number, what the first call of each block was given while the warm-up request was answered."""
    taken: dict[str, dict[int, Arguments]] = {name: {} for name in opened.networks}
    hooks = [
        block.register_forward_pre_hook(_noting(taken[name], index), with_kwargs=True)
        for name, network in opened.networks.items()
        for index, block in enumerate(network.blocks)
    ]
    try:
        opened.ask()
    finally:
        for hook in hooks:
            hook.remove()
    return taken


def compile_blocks(blocks: Sequence[torch.nn.Module], calls: Mapping[int, Arguments], folder: Path) -> list[Made]:
    """Libraries under ``folder``, which is made. Raises NotCompiled with torch's own words."""
    programs: dict[str, tuple[torch.export.ExportedProgram, list[int]]] = {}
    for index, arguments in sorted(calls.items()):
        program = _export(blocks[index], arguments)
        programs.setdefault(_identity(program), (program, []))[1].append(index)
    return [
        _compile(program, calls[own[0]], folder / str(number), tuple(own))
        for number, (program, own) in enumerate(programs.values())
    ]


def compare(
    name: str, blocks: Sequence[torch.nn.Module], calls: Mapping[int, Arguments], made: Iterable[Made], bound: Precision
) -> list[Finding]:
    """Every block by its library against the block as it is, on what it was called with. Raises NotCompiled where a library
    cannot be opened or takes its own call for another."""
    return [
        finding
        for each in made
        for index in each.blocks
        for finding in _compare_block(f"{name}, block {index}", blocks[index], calls[index], each.folder, bound)
    ]


def answer(blocks: Sequence[torch.nn.Module], calls: Mapping[int, Arguments]) -> dict[int, list[Array]]:
    """What each block computes of its call, by its number. It is given tensors of inference mode, as by its network: torch would
    compile others anew."""
    with torch.inference_mode():
        given = {index: tree_map(_copied, arguments) for index, arguments in sorted(calls.items())}
        return {index: _numbers(blocks[index](**arguments)) for index, arguments in given.items()}


def judge(
    name: str, wanted: Mapping[int, list[Array]], got: Mapping[int, list[Array]], precision: Precision
) -> list[Finding]:
    """What blocks computed beside what they should have."""
    return [
        _judge(f"{name}, block {index}", str(number), precision, *pair)
        for index in wanted
        for number, pair in enumerate(zip(wanted[index], got[index], strict=True))
    ]


def _noting(taken: dict[int, Arguments], index: int) -> Any:
    def note(block: torch.nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        if index not in taken:
            bound = name_arguments(inspect.signature(block.forward), arguments, named)
            with torch.inference_mode(mode=False):
                taken[index] = tree_map(_copied, bound)

    return note


def _copied(leaf: Any) -> Any:
    """Tensors of inference mode cannot be exported; a library takes every input as contiguous."""
    return leaf.detach().clone(memory_format=torch.contiguous_format) if isinstance(leaf, torch.Tensor) else leaf


def _export(block: torch.nn.Module, arguments: Arguments) -> torch.export.ExportedProgram:
    """For any size of each dimension that the block leaves open. One of 1 is fixed: torch computes it in another way."""
    kinds = {each.kind for each in inspect.signature(block.forward).parameters.values()}
    if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY}:
        raise NotCompiled(f"{type(block).__name__}.forward takes arguments without a name")
    shapes = tree_map(_dynamic, arguments)
    try:
        with torch.no_grad():
            return torch.export.export(block, (), arguments, dynamic_shapes=shapes)
    except Exception as error:  # whatever the tracing of foreign code makes fail
        raise NotCompiled(f"{type(block).__name__}: {type(error).__name__}: {error}") from error


def _dynamic(leaf: Any) -> Any:
    return dict.fromkeys(range(leaf.ndim), torch.export.Dim.AUTO) if isinstance(leaf, torch.Tensor) else None


def _identity(program: torch.export.ExportedProgram) -> str:
    """Equal for programs that compute the same of tensors of the same names and shapes."""
    readable = program.graph_module.print_readable(print_output=False)
    return digest_bytes(f"{readable}\n{_guards(program)}\n{program.range_constraints}".encode())


def _compile(
    program: torch.export.ExportedProgram, arguments: Arguments, folder: Path, blocks: tuple[int, ...]
) -> Made:
    call = _describe_call(program, arguments)
    with tempfile.TemporaryDirectory(prefix="aot-") as scratch:
        package = f"{scratch}/block.pt2"
        try:
            torch._inductor.aoti_compile_and_package(program, package_path=package, inductor_configs=OPTIONS)
        except Exception as error:  # the compiler's own, and inductor's
            raise NotCompiled(f"{type(error).__name__}: {error}") from error
        _unpack(Path(package), folder)
    (folder / CALL).write_bytes(canonical_json(call._asdict()))
    return Made(folder, blocks)


def _unpack(package: Path, folder: Path) -> None:
    """What a start opens: the library, and for a GPU its kernels. The sources of both stay behind."""
    folder.mkdir(parents=True)
    with zipfile.ZipFile(package) as archive:
        for entry in archive.namelist():
            name = LIBRARY if entry.endswith(".so") else Path(entry).name
            if Path(name).suffix in (".so", ".cubin", ".hsaco"):
                (folder / name).write_bytes(archive.read(entry))


def _describe_call(program: torch.export.ExportedProgram, arguments: Arguments) -> Call:
    """Raises NotCompiled where the program holds tensors that are the block's own under no name."""
    if program.constants and set(program.constants) - set(program.graph_signature.inputs_to_buffers.values()):
        raise NotCompiled(f"{', '.join(sorted(program.constants))}: made by forward, and no tensor of the block")
    given = set(program.graph_signature.user_inputs)
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder" and node.name in given}
    names = [each.arg for each in program.graph_signature.input_specs if each.kind.name == "USER_INPUT"]
    inputs = [
        _describe_input(program, getattr(name, "name", ""), nodes, leaf)
        for name, leaf in zip(names, tree_flatten(arguments)[0], strict=True)
    ]
    call = Call(tuple(inputs), _guards(program))
    json.dumps(call)
    return call


def _describe_input(
    program: torch.export.ExportedProgram, name: str, nodes: Mapping[str, torch.fx.Node], leaf: Any
) -> dict[str, Any]:
    if not isinstance(leaf, torch.Tensor):
        if leaf is not None and not isinstance(leaf, (bool, int, float, str)):
            raise NotCompiled(f"{name} is a {type(leaf).__name__}, and no tensor or plain value")
        return {"value": leaf}
    dims = [_describe_dim(program, size) for size in nodes[name].meta["val"].shape]
    return {"dtype": str(leaf.dtype), "device": leaf.device.type, "dims": dims}


def _describe_dim(program: torch.export.ExportedProgram, size: Any) -> int | list[int | None]:
    """A number, or the bounds of what it may be; how it goes together with others is the guards' part."""
    if isinstance(size, int) or size.node.expr.is_number:
        return int(size)
    bounds = program.range_constraints.get(size.node.expr)
    return [_finite(bounds.lower), _finite(bounds.upper)] if bounds is not None else [None, None]


def _finite(bound: Any) -> int | None:
    return int(bound) if getattr(bound, "is_Integer", isinstance(bound, int)) and abs(bound) < 1 << 62 else None


def _guards(program: torch.export.ExportedProgram) -> tuple[str, ...]:
    """How dimensions have to go together, as torch found while it traced; its own programs check the same."""
    return tuple(program._guards_code or ())


def _compare_block(
    title: str, block: torch.nn.Module, arguments: Arguments, folder: Path, precision: Precision
) -> list[Finding]:
    strange: list[str] = []
    device = next((leaf.device.type for leaf in tree_flatten(arguments)[0] if isinstance(leaf, torch.Tensor)), "cpu")
    with torch.inference_mode():
        wanted = _numbers(block(**arguments))
        try:
            got = _numbers(CompiledBlock(block, folder, device, strange.append)(**arguments))
        except Unfit as unfit:
            raise NotCompiled(str(unfit)) from unfit
    if strange:
        raise NotCompiled(f"{title}: its own call is another than what it was compiled for: {strange[0]}")
    return [_judge(title, str(number), precision, *pair) for number, pair in enumerate(zip(wanted, got, strict=True))]


def _judge(title: str, output: str, precision: Precision, wanted: Array, got: Array) -> Finding:
    if wanted.shape != got.shape or wanted.dtype != got.dtype:
        fault = f"is {got.dtype} {list(got.shape)}, should be {wanted.dtype} {list(wanted.shape)}"
        return Finding(title, 1, output, precision.bound, None, fault)
    quality = measure(wanted, got)
    if precision.bounded:
        return Finding(title, 1, output, precision.bound, quality.relative, relative=True, quality=quality)
    tolerance = tolerance_of({output: wanted})[output]
    return Finding(title, 1, output, tolerance, quality.difference, quality=quality)


def _numbers(answer: Any) -> list[Array]:
    """Every tensor of an answer, those of reduced precision as float32: numpy has no bfloat16."""
    tensors = [leaf for leaf in tree_flatten(answer)[0] if isinstance(leaf, torch.Tensor)]
    return [(each.float() if each.is_floating_point() else each).cpu().numpy() for each in tensors]
