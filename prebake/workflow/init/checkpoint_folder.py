"""A checkpoint folder: its JSON documents, its weight files, and every problem that reading them meets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prebake.bake.errors import WeightsError
from prebake.bake.weights.safetensors_reader import read_index
from prebake.errors import Problem

CONFIG = "config.json"
_FLOATS = {"F16", "BF16", "F64"}
# By a document's file name, the types of the keys that readers use without another check.
_TYPES: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    CONFIG: {
        "architectures": list, "id2label": dict, "num_labels": int, "vocab_size": int, "max_position_embeddings": int,
        "n_positions": int, "pad_token_id": int, "num_channels": int, "num_attention_heads": int, "model_type": str,
        "d_model": int, "encoder_layers": int, "decoder_layers": int, "encoder_attention_heads": int, "num_mel_bins": int,
        "decoder_attention_heads": int, "max_source_positions": int, "max_target_positions": int,
        "problem_type": str, "sample_size": (int, list),
    },
    "tokenizer.json": {"model": dict, "added_tokens": list},
    "tokenizer_config.json": {"model_max_length": (int, float), "padding_side": str},
    "sentence_bert_config.json": {"max_seq_length": int, "do_lower_case": bool},
    "model.safetensors.index.json": {"weight_map": dict},
    "pytorch_model.bin.index.json": {"weight_map": dict},
    "diffusion_pytorch_model.safetensors.index.json": {"weight_map": dict},
    "preprocessor_config.json": {
        "sampling_rate": int, "feature_size": int, "n_fft": int, "hop_length": int, "chunk_length": int,
    },
    "generation_config.json": {
        "decoder_start_token_id": int, "eos_token_id": int, "no_timestamps_token_id": int, "max_length": int,
        "max_new_tokens": int, "is_multilingual": bool, "lang_to_id": dict, "task_to_id": dict, "suppress_tokens": list,
        "begin_suppress_tokens": list, "forced_decoder_ids": list, "language": str, "task": str,
    },
    "processor_config.json": {"feature_extractor": dict},
    "scheduler_config.json": {"num_train_timesteps": int},
    "model_index.json": {"_class_name": str},
}  # fmt: skip
_LICENSES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE")


@dataclass(frozen=True)
class WeightFiles:
    """The files of a network's weights. ``derived``: the export stage converts them, since they are pickled or not float32; then
    they are not shipped."""

    files: tuple[str, ...] = ()
    derived: bool = False


@dataclass
class CheckpointFolder:
    """The folder at ``path``. Problems are collected; reading goes on."""

    path: Path
    problems: list[Problem] = field(default_factory=list)

    def has(self, name: str) -> bool:
        return (self.path / name).is_file()

    def present(self, *names: str) -> tuple[str, ...]:
        return tuple(name for name in names if self.has(name))

    def licenses(self) -> tuple[str, ...]:
        return self.present(*_LICENSES)

    def require(self, name: str, hint: str = "") -> bool:
        """Whether the file exists; a problem if it does not."""
        if not self.has(name):
            self.problems.append(Problem(name, "is missing", hint))
        return self.has(name)

    def document(self, name: str, *, or_else: Any = None) -> Any:
        """A JSON document of the type of ``or_else`` (an object by default); ``or_else`` itself if the file is missing. Keys
        with a value of a wrong type are problems and are left out."""
        empty: Any = {} if or_else is None else or_else
        if not self.has(name):
            return empty
        try:
            document = json.loads((self.path / name).read_bytes())
        except (ValueError, RecursionError) as error:
            self.problems.append(Problem(name, f"is not JSON: {error}"))
            return empty
        if isinstance(document, dict) and isinstance(empty, dict):
            return self._drop_wrong_types(name, document)
        if isinstance(document, type(empty)):
            return document
        self.problems.append(Problem(name, f"contains a {type(document).__name__}, not a {type(empty).__name__}"))
        return empty

    def _drop_wrong_types(self, name: str, document: Mapping[str, Any]) -> dict[str, Any]:
        kinds = _TYPES.get(name.rpartition("/")[2], {})
        wrong = {key for key, kind in kinds.items() if not _has_type(document.get(key), kind)}
        self.problems += [Problem(name, f"{key} is {json.dumps(document[key])[:60]}") for key in sorted(wrong)]
        return {key: value for key, value in document.items() if key not in wrong}

    def weights(self, stem: str = "model") -> WeightFiles:
        """The weight files that transformers (``model``) or diffusers read, safetensors before pickles."""
        whole, index = f"{stem}.safetensors", f"{stem}.safetensors.index.json"
        if self.has(whole):
            return self._safetensors((whole,))
        if self.has(index):
            return self._safetensors((*self._parts(index), index))
        pickle = f"pytorch_{stem}.bin" if stem == "model" else f"{stem}.bin"
        if pickled := self.present(pickle, f"{pickle}.index.json")[:1]:
            parts = self._parts(pickled[0]) if pickled[0].endswith(".json") else ()
            return WeightFiles((*parts, *pickled), derived=True)
        self.problems.append(Problem(whole, "is missing", "save the model by its save_pretrained"))
        return WeightFiles()

    def size(self, weights: WeightFiles) -> int:
        """Bytes of the weight files that exist."""
        return sum((self.path / name).stat().st_size for name in self.present(*weights.files))

    def _safetensors(self, files: tuple[str, ...]) -> WeightFiles:
        dtypes = {dtype for name in files if name.endswith(".safetensors") for dtype in self._dtypes(name)}
        return WeightFiles(files, derived=bool(dtypes & _FLOATS))

    def _parts(self, index: str) -> tuple[str, ...]:
        named = self.document(index).get("weight_map", {}).values()
        parts = sorted({name for name in named if isinstance(name, str)})
        return tuple(name for name in parts if self.require(name, f"{index} names it"))

    def _dtypes(self, name: str) -> Iterator[str]:
        try:
            yield from {region.dtype for region in read_index(self.path / name).values()}
        except WeightsError as error:
            self.problems.append(Problem(name, error.message.removeprefix(f"{self.path / name} ")))


def _has_type(value: object, kind: type | tuple[type, ...]) -> bool:
    """None counts as absent. True and false are not numbers."""
    return value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool)))


@dataclass(frozen=True)
class TaskContents:
    """The files of an image besides configuration and weights.

    files: those that the export stage reads. ship: those that the server reads. samples: new files of the image's folder by name.
    values: for the templates. memory: bytes that the largest request takes besides the weights.
    """

    files: tuple[str, ...] = ()
    ship: tuple[str, ...] = ()
    samples: Mapping[str, bytes] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    memory: int = 0
