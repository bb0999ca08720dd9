"""``/models/manifest.json`` as values: what the builder put into the image and what is to be made of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from entrypoints.checks import Check, suggest
from entrypoints.faults import ManifestFault, MissingFile, NewerSchema
from entrypoints.layout import JOINT_LAYOUT, LAYOUT
from entrypoints.shapes import Buckets

SCHEMA = 1
NAME = "manifest.json"


class Scratch(NamedTuple):
    """A folder that is copied to where its provider may write; ``options`` are those that name the copy."""

    folder: str
    options: tuple[str, ...]


class Artifact(NamedTuple):
    """What was compiled of a component for one kind of machine: opened before its graph where ``fields`` are this machine's
    own and ``least`` are reached. ``rung`` is its name on the ladder; ``weights`` the folder that its graph reads, empty where
    that is its own; ``folders`` are those that options of its provider name."""

    rung: str
    graph: str
    provider: str
    options: Mapping[str, str]
    optimize: str
    prepack: bool
    fields: Mapping[str, str]
    least: Mapping[str, str]
    reads: Mapping[str, tuple[tuple[int, int], ...]]
    key: str
    weights: str = ""
    folders: Mapping[str, str] = {}
    scratch: Scratch | None = None


class Tensor(NamedTuple):
    """``dtype`` is numpy's word; an axis of ``shape`` is a length, or the name of one that is free."""

    dtype: str
    shape: tuple[int | str, ...]


class Component(NamedTuple):
    """One graph. ``reads``: by file of weights, the (offset, length) ranges in bytes that the graph uses. ``options``: of
    providers, by provider."""

    name: str
    graph: str
    precision: str
    providers: tuple[str, ...]
    optimize: str
    prepack: bool
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    reads: Mapping[str, tuple[tuple[int, int], ...]]
    key: str
    options: Mapping[str, Mapping[str, str]] = {}
    artifacts: tuple[Artifact, ...] = ()
    buckets: Buckets | None = None

    @property
    def first(self) -> str:
        """The small file that it is opened by."""
        return self.graph


class TorchComponent(NamedTuple):
    """One network in torch. ``reads``: its weight files, each whole."""

    name: str
    config: str
    precision: str
    reads: Mapping[str, tuple[tuple[int, int], ...]]
    key: str

    @property
    def first(self) -> str:
        return self.config


class Library(NamedTuple):
    """What AOTInductor made of equal blocks of a network: the folder of a library, all files of it, and the blocks' numbers."""

    folder: str
    files: tuple[str, ...]
    blocks: tuple[int, ...]


class TorchRuntime(NamedTuple):
    """How torch serves. ``module`` builds the networks. ``cache`` is the file of what ``torch.compile`` left at bake time,
    ``libraries`` what AOTInductor made, by component, and ``fields`` what either was made for; empty where there is none, and
    ``reason`` then says why, if there should be one."""

    module: str
    device: str
    cache: str
    fields: Mapping[str, str]
    reason: str
    libraries: Mapping[str, tuple[Library, ...]] = {}

    @property
    def form(self) -> str:
        """The rung of the ladder that was baked; empty where none was."""
        return "aot" if self.libraries else "compile-cache" if self.cache else ""


class File(NamedTuple):
    """``size`` in bytes; ``xxh3``, where it is known, is of 128 bits."""

    size: int
    sha256: str
    origin: str
    xxh3: str = ""


class Warmup(NamedTuple):
    """``tolerance``: the largest absolute difference from the framework's answer."""

    request: str
    answer: str
    media_type: str
    tolerance: float


class Limits(NamedTuple):
    """``queue``: requests that may wait beyond those at work. ``seconds``: of one request's work."""

    body_bytes: int = 64 * 1024 * 1024
    queue: int = 16
    seconds: float = 600.0


class Joint(NamedTuple):
    """What an image of several models says of one of them. ``home`` is the folder of what does not lie with weights,
    ``places`` says where the rest lies, by its first folder or by its whole path; ``files`` are those of all models."""

    image: str
    home: str
    places: Mapping[str, str]
    files: frozenset[str]


class Manifest(NamedTuple):
    name: str
    target: str
    checkpoint: str
    module: str
    revision: str
    components: Mapping[str, Component | TorchComponent]
    files: Mapping[str, File]
    warmup: Warmup
    limits: Limits
    fallback: str = "announce"
    """``error`` where a start is to end rather than take another way than the best."""
    torch: TorchRuntime | None = None
    joint: Joint | None = None
    """None where the model is the only one; the paths above are the image's, those that the model uses are its own."""

    @property
    def listed(self) -> Collection[str]:
        """Every file that the image should have."""
        return self.files if self.joint is None else self.joint.files

    def place(self, path: str) -> str:
        """Where in the image lies what the model knows by this path."""
        if self.joint is None:
            return path
        entry, slash, rest = path.partition("/")
        places = self.joint.places
        if path in places:
            return places[path]
        return f"{places[entry]}{slash}{rest}" if entry in places else f"{self.joint.home}/{path}"


def read_manifest(models: Path, member: str = "") -> Manifest:
    """Read and check all of it; ``member`` is the model, where the image has several.

    Raises ManifestFault with every problem, NewerSchema, or MissingFile.
    """
    content = read_content(models / NAME)
    return read_member(models, content, member) if member else parse_manifest(content)


def read_content(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except FileNotFoundError:
        raise MissingFile(f"{source} is not there") from None
    except OSError as error:
        raise ManifestFault(f"{source}: {error.strerror}") from None


def read_member(models: Path, content: bytes, member: str) -> Manifest:
    """One model's manifest, which the top one lists as it lists every file."""
    top = check_document(content, JOINT_LAYOUT, NAME)
    if member not in top["models"]:
        raise ManifestFault(f"{NAME}: models has no {member}{suggest(member, list(top['models']))}")
    entry = top["models"][member]
    name = entry["manifest"]
    if name not in top["files"]:
        raise ManifestFault(f"{NAME}: files has no {name}")
    manifest = parse_manifest(read_content(models / name), name)
    joint = Joint(top["name"], name.rpartition("/")[0], entry["places"], frozenset(top["files"]))
    return manifest._replace(files={**manifest.files, name: File(**top["files"][name])}, joint=joint)


def parse_manifest(content: bytes, name: str = NAME) -> Manifest:
    checked = check_document(content, LAYOUT, name)
    if problems := cross_check(checked):
        raise ManifestFault([f"{name}: {problem}" for problem in problems])
    return build_manifest(checked)


def check_document(content: bytes, layout: Check, name: str) -> dict[str, Any]:
    document = load_document(content, name)
    schema = document.get("schema") if isinstance(document, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise NewerSchema(f"the manifest has schema {schema}, this entrypoint knows {SCHEMA}")
    problems: list[str] = []
    checked: dict[str, Any] = layout(document, "", problems)
    if problems:
        raise ManifestFault([f"{name}: {problem}" for problem in problems])
    return checked


def load_document(content: bytes, name: str) -> Any:
    """JSON without repeated names and without NaN, which Python's reader would let pass."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"repeated names: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
        return found

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(content, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ManifestFault(f"{name} is no JSON: {error}") from None


def cross_check(document: Mapping[str, Any]) -> list[str]:
    """Problems between the parts: an unknown schema, files that nobody lists, ranges past the end of their file."""
    files = document["files"]
    named = {f"warmup.{part}": document["warmup"][part] for part in ("request", "answer")}
    problems = [] if document["schema"] == SCHEMA else [f"schema: should be {SCHEMA}"]
    for name, component in document["components"].items():
        own = "config" if "runtime" in component else "graph"
        named[f"components.{name}.{own}"] = component[own]
        named.update({f"components.{name}.reads": file for file in component["reads"] if file not in files})
        for file, ranges in component["reads"].items():
            end = max((offset + length for offset, length in ranges), default=0)
            if file in files and end > files[file]["size"]:
                problems.append(f"components.{name}.reads.{file}: a range ends at {end}, after the end of the file")
        for index, each in enumerate(component.get("artifacts", [])):
            where = f"components.{name}.artifacts.{index}"
            named[f"{where}.graph"] = each["graph"]
            named.update({f"{where}.reads": file for file in each["reads"] if file not in files})
        problems += [f"components.{name}.buckets.{problem}" for problem in check_buckets(component)]
    networks = [name for name, component in document["components"].items() if "runtime" in component]
    if networks and "torch" not in document:
        problems.append(f"torch: is missing, and torch serves {', '.join(networks)}")
    elif document.get("torch", {}).get("cache"):
        named["torch.cache"] = document["torch"]["cache"]
    for name, libraries in document.get("torch", {}).get("libraries", {}).items():
        where = f"torch.libraries.{name}"
        problems += [] if name in networks else [f"{where}: torch serves no {name}{suggest(name, networks)}"]
        named.update({f"{where}: {file}": file for each in libraries for file in each["files"]})
    problems += [
        f"{where}: files has no {file}{suggest(file, list(files))}"
        for where, file in named.items()
        if file not in files
    ]
    return problems


def check_buckets(component: Mapping[str, Any]) -> Iterator[str]:
    """Buckets of different axes, of axes that no input has, and values for inputs that are not there."""
    if "buckets" not in component:
        return
    shapes, axes = component["buckets"]["shapes"], list(component["buckets"]["shapes"][0])
    free = {axis for _, shape in component["inputs"].values() for axis in shape if isinstance(axis, str)}
    for axis in (axis for axis in axes if axis not in free):
        yield f"shapes: no input has an axis {axis}{suggest(axis, sorted(free))}"
    for number, shape in enumerate(shapes):
        if set(shape) != set(axes):
            yield f"shapes[{number}]: should name {', '.join(axes)}, names {', '.join(shape)}"
    for name in component["buckets"]["pad"]:
        if name not in component["inputs"]:
            yield f"pad: no input is called {name}{suggest(name, list(component['inputs']))}"


def build_manifest(document: Mapping[str, Any]) -> Manifest:
    return Manifest(
        name=document["name"],
        target=document["target"],
        checkpoint=document["checkpoint"],
        module=document["model"]["module"],
        revision=document["model"]["revision"],
        components={name: build_component(name, entry) for name, entry in document["components"].items()},
        files={name: File(**entry) for name, entry in document["files"].items()},
        warmup=Warmup(**document["warmup"]),
        limits=Limits(**document["limits"]),
        fallback=document.get("fallback", "announce"),
        torch=build_torch(document["torch"]) if "torch" in document else None,
    )


def build_torch(entry: Mapping[str, Any]) -> TorchRuntime:
    libraries = {
        name: tuple(Library(each["folder"], tuple(each["files"]), tuple(each["blocks"])) for each in own)
        for name, own in entry.get("libraries", {}).items()
    }
    return TorchRuntime(**{**entry, "libraries": libraries})


def build_component(name: str, entry: Mapping[str, Any]) -> Component | TorchComponent:
    reads = build_reads(entry)
    if "runtime" in entry:
        return TorchComponent(name, entry["config"], entry["precision"], reads, entry["key"])
    return Component(
        name=name,
        graph=entry["graph"],
        precision=entry["precision"],
        providers=tuple(entry["providers"]),
        optimize=entry["session"]["optimize"],
        prepack=entry["session"]["prepack"],
        inputs={name: Tensor(kind, tuple(shape)) for name, (kind, shape) in entry["inputs"].items()},
        outputs={name: Tensor(kind, tuple(shape)) for name, (kind, shape) in entry["outputs"].items()},
        reads=reads,
        key=entry["key"],
        options=entry.get("options", {}),
        artifacts=tuple(build_artifact(each) for each in entry.get("artifacts", [])),
        buckets=build_buckets(entry["buckets"]) if "buckets" in entry else None,
    )


def build_buckets(entry: Mapping[str, Any]) -> Buckets:
    return Buckets(tuple(entry["shapes"]), entry["pad"], entry["outside"])


def build_artifact(entry: Mapping[str, Any]) -> Artifact:
    return Artifact(
        rung=entry["rung"],
        graph=entry["graph"],
        provider=entry["provider"],
        options=entry["options"],
        optimize=entry["session"]["optimize"],
        prepack=entry["session"]["prepack"],
        fields=entry["fields"],
        least=entry["least"],
        reads=build_reads(entry),
        key=entry["key"],
        weights=entry.get("weights", ""),
        folders=entry.get("folders", {}),
        scratch=build_scratch(entry["scratch"]) if "scratch" in entry else None,
    )


def build_scratch(entry: Mapping[str, Any]) -> Scratch:
    return Scratch(entry["folder"], tuple(entry["options"]))


def build_reads(entry: Mapping[str, Any]) -> dict[str, tuple[tuple[int, int], ...]]:
    return {file: tuple((offset, length) for offset, length in ranges) for file, ranges in entry["reads"].items()}
