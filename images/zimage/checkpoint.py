"""Is a checkpoint the pipeline that this image serves? Every fault at once, by file and tensor, before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ZImageTransformer2DModel
from transformers import Qwen3Config, Qwen3Model

from prebake.bake.errors import WeightsError
from prebake.bake.safetensors_index import Region, read_index
from prebake.errors import Problem

Document = Mapping[str, Any]

NETWORKS: dict[str, tuple[str, Callable[[Document], torch.nn.Module]]] = {
    "text_encoder": ("model", lambda config: Qwen3Model(Qwen3Config(**config))),
    "transformer": ("diffusion_pytorch_model", ZImageTransformer2DModel.from_config),
    "vae": ("diffusion_pytorch_model", AutoencoderKL.from_config),
}
"""What a component's weight files are called, and the network that its configuration describes."""

DOCUMENTS = {
    "index": "model_index.json",
    "scheduler": "scheduler/scheduler_config.json",
    "tokenizer": "tokenizer/tokenizer.json",
    **{name: f"{name}/config.json" for name in NETWORKS},
}
CLASSES = {
    "scheduler": {"FlowMatchEulerDiscreteScheduler"},
    "text_encoder": {"Qwen3Model", "Qwen3ForCausalLM"},
    "transformer": {"ZImageTransformer2DModel"},
    "vae": {"AutoencoderKL"},
}
PLAIN_SCHEDULE = {
    "num_train_timesteps": 1000,
    **dict.fromkeys(("use_dynamic_shifting", "invert_sigmas", "stochastic_sampling"), False),
    **dict.fromkeys(("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"), False),
    "shift_terminal": None,
}
"""What ``sampler.py`` computes; of other schedules of this class it knows nothing."""
BODY, HEAD = "model.", "lm_head.weight"
"""What a causal language model puts before its network's names, and what it has besides."""


def check_checkpoint(folder: Path, shipped: Collection[str]) -> None:
    """``shipped``: the files that the image holds as published. Raises WeightsError that lists every fault."""
    problems = list(_Checkpoint(folder, frozenset(shipped)).problems())
    if problems:
        lines = "".join(f"\n  {problem}" for problem in problems)
        raise WeightsError(
            f"The checkpoint is no pipeline that can be served:{lines}",
            next_action="Fetch the files that are named from one and the same revision, or correct image.yaml.",
        )


class _Checkpoint:
    def __init__(self, folder: Path, shipped: frozenset[str]) -> None:
        self._folder = folder
        self._shipped = shipped
        self._documents: dict[str, Document] = {}

    def problems(self) -> Iterator[Problem]:
        for name, path in DOCUMENTS.items():
            yield from self._read(name, path)
        for name, check in (("index", _classes), ("scheduler", _schedule), ("transformer", _patches)):
            if name in self._documents:
                yield from check(self._documents[name])
        yield from self._agreement()
        for component in NETWORKS:
            yield from self._weights(component)

    def _read(self, name: str, path: str) -> Iterator[Problem]:
        try:
            document = json.loads((self._folder / path).read_bytes())
        except FileNotFoundError:
            yield Problem(path, "is missing")
        except ValueError as error:
            yield Problem(path, f"is no JSON: {error}")
        else:
            if isinstance(document, dict):
                self._documents[name] = document
            else:
                yield Problem(path, "is no JSON object")

    def _agreement(self) -> Iterator[Problem]:
        """What two documents say of one thing."""
        pairs = (
            ("transformer", "cap_feat_dim", "text_encoder", "hidden_size"),
            ("transformer", "in_channels", "vae", "latent_channels"),
        )
        for one, field, other, counterpart in pairs:
            mine, yours = self._value(one, field), self._value(other, counterpart)
            if None not in (mine, yours) and mine != yours:
                yield Problem(f"{DOCUMENTS[one]}: {field}", f"is {mine}, {DOCUMENTS[other]} has {counterpart} {yours}")
        rows, largest = self._value("text_encoder", "vocab_size"), _largest_token(self._documents.get("tokenizer", {}))
        if rows is not None and largest >= rows:
            what = f"has tokens up to {largest}, the vocab_size of {DOCUMENTS['text_encoder']} is {rows}"
            yield Problem(DOCUMENTS["tokenizer"], what, "is it another model's?")

    def _value(self, name: str, field: str) -> Any:
        return self._documents.get(name, {}).get(field)

    def _weights(self, component: str) -> Iterator[Problem]:
        stem, build = NETWORKS[component]
        index = f"{component}/{stem}.safetensors.index.json"
        try:
            files = self._weight_files(component, stem, index)
        except (ValueError, TypeError, KeyError, AttributeError):
            yield Problem(index, "is no index of weight files")
            return
        missing = [path for path in files if not (self._folder / path).is_file()]
        yield from (Problem(path, "is missing") for path in missing)
        if missing or component not in self._documents:
            return
        try:
            found = {path: read_index(self._folder / path) for path in files}
            with torch.device("meta"):
                network = build(self._documents[component])
        except WeightsError as error:
            yield Problem(component, error.message)
        except Exception as error:  # the libraries check a configuration by whatever it makes fail
            yield Problem(DOCUMENTS[component], f"describes no network: {type(error).__name__}: {error}")
        else:
            yield from self._types(found)
            yield from _differences(component, network, found)

    def _weight_files(self, component: str, stem: str, index: str) -> list[str]:
        if not (self._folder / index).is_file():
            return [f"{component}/{stem}.safetensors"]
        names = set(json.loads((self._folder / index).read_bytes())["weight_map"].values())
        return sorted(f"{component}/{name}" for name in names)

    def _types(self, found: Mapping[str, Mapping[str, Region]]) -> Iterator[Problem]:
        for path, tensors in found.items():
            types = sorted({tensor.dtype for tensor in tensors.values()} - {"F32"})
            if types and path in self._shipped:
                hint = "leave it out of `ship`, and say `derived: true` of its component"
                yield Problem(path, f"is {', '.join(types)}, which ONNX Runtime's CPU provider cannot compute", hint)


def _classes(index: Document) -> Iterator[Problem]:
    if index.get("_class_name") != "ZImagePipeline":
        yield Problem(DOCUMENTS["index"], f"is of a {index.get('_class_name')}, not of a ZImagePipeline")
    for name, classes in CLASSES.items():
        given = index.get(name)
        if not isinstance(given, list) or given[-1] not in classes:
            yield Problem(f"{DOCUMENTS['index']}: {name}", f"is {given!r}, not {' or '.join(sorted(classes))}")


def _schedule(config: Document) -> Iterator[Problem]:
    for field, plain in PLAIN_SCHEDULE.items():
        if config.get(field, plain) != plain:
            yield Problem(f"{DOCUMENTS['scheduler']}: {field}", f"is {config[field]!r}, this image serves {plain!r}")


def _patches(config: Document) -> Iterator[Problem]:
    sizes = list(zip(config.get("all_patch_size", [2]), config.get("all_f_patch_size", [1]), strict=False))
    if (2, 1) not in sizes:
        yield Problem(f"{DOCUMENTS['transformer']}: all_patch_size", f"has no patches of 2 x 2 in one frame: {sizes}")


def _largest_token(tokenizer: Document) -> int:
    vocabulary = tokenizer.get("model", {}).get("vocab", {})
    return max((*vocabulary.values(), *(token["id"] for token in tokenizer.get("added_tokens", ()))), default=-1)


def _differences(
    component: str, network: torch.nn.Module, found: Mapping[str, Mapping[str, Region]]
) -> Iterator[Problem]:
    """Tensors that the configuration describes against those that the files have."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    there: set[str] = set()
    for path, tensors in found.items():
        for published, tensor in sorted(tensors.items()):
            name = published.removeprefix(BODY) if component == "text_encoder" else published
            there.add(name)
            if name not in expected and published != HEAD:
                yield Problem(f"{path}: {published}", f"is no tensor of {DOCUMENTS[component]}")
            elif expected.get(name, tensor.shape) != tensor.shape:
                what = f"is {list(tensor.shape)}, {DOCUMENTS[component]} says {list(expected[name])}"
                yield Problem(f"{path}: {published}", what)
    for name in sorted(expected.keys() - there):
        yield Problem(
            f"{component}: {name}", f"is in no weight file, {DOCUMENTS[component]} says {list(expected[name])}"
        )
