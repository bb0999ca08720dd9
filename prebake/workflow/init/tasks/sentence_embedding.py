"""Sentence embeddings: the documents of sentence-transformers, and every setting in them that cannot be baked.

The export stage lets sentence-transformers read them. Here they are read so that ``init`` refuses at once what the export would
refuse, and so that no unknown key changes the embedding.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from prebake.errors import Problem
from prebake.workflow.init.checkpoint_folder import CONFIG, CheckpointFolder, TaskContents
from prebake.workflow.init.tasks.text import read_text_model

MODULES = "modules.json"
_SETTINGS = "config_sentence_transformers.json"
# The library reads the first that exists.
_TRANSFORMERS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_PACKAGE = "sentence_transformers."
# Keys by module that the library reads and the export bakes with any value.
_KEYS: Mapping[str, frozenset[str]] = {
    "Transformer": frozenset({
        "max_seq_length", "do_lower_case", "module_output_name", "unpad_inputs", "model_args", "tokenizer_args",
        "config_args", "model_kwargs", "processor_kwargs", "config_kwargs",
    }),
    "Pooling": frozenset({
        "word_embedding_dimension", "embedding_dimension", "include_prompt", "pooling_mode", "pooling_mode_cls_token",
        "pooling_mode_max_tokens", "pooling_mode_mean_tokens", "pooling_mode_mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken",
    }),
    "Dense": frozenset({
        "in_features", "out_features", "bias", "activation_function", "module_input_name", "module_output_name",
        "use_residual",
    }),
    "Normalize": frozenset({"module_input_name", "module_output_name"}),
    "LayerNorm": frozenset({"dimension"}),
    "Dropout": frozenset({"dropout"}),
    "WeightedLayerPooling": frozenset({
        "word_embedding_dimension", "embedding_dimension", "layer_start", "num_hidden_layers",
    }),
}  # fmt: skip
# Keys that are baked with these values only.
_VALUES: Mapping[str, tuple[Any, ...]] = {
    "transformer_task": ("feature-extraction",), "processing_kwargs": (None, {}), "query_length": (None,),
    "document_length": (None,), "query_expansion": (None,), "tokenizer_name_or_path": (None,),
}  # fmt: skip
# similarity_fn_name is for comparing embeddings; __version__ and requirements have no effect, as the lock has the versions.
_SETTINGS_KEYS = {
    "__version__", "prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim", "model_type", "requirements",
}  # fmt: skip
_NO_PROMPT = "no-prompt"  # the image's name for no prompt
_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def read_sentence_encoder(folder: CheckpointFolder, config: Mapping[str, Any]) -> TaskContents:
    """The contents of an image that answers as ``SentenceTransformer.encode``: by the modules of modules.json, or for plain
    transformers by the mean over the tokens."""
    if config.get("is_encoder_decoder"):
        folder.problems.append(Problem(CONFIG, "is_encoder_decoder: the model is not an encoder"))
    if folder.has("adapter_config.json"):
        folder.problems.append(Problem("adapter_config.json", "the weights are an adapter", "merge it into its model"))
    modules = _modules(folder)
    documents = [_document_of(folder, kind, path) for kind, path in modules]
    for (kind, _), name in zip(modules, documents, strict=True):
        _check_module(folder, kind, name)
    if folder.has(_SETTINGS):
        _check_settings(folder)
    weights = [f"{path}/{name}" for kind, path in modules if kind != "Transformer" for name in _WEIGHTS]
    files = folder.present(MODULES, _SETTINGS, *documents, *weights)
    kinds = [kind for kind, _ in modules] or ["Transformer", "Pooling"]
    return read_text_model(folder, config, files, modules=", ".join(kinds), unit=kinds[-1] == "Normalize")


def _modules(folder: CheckpointFolder) -> list[tuple[str, str]]:
    """The modules with their folders, in order; empty for a checkpoint of plain transformers."""
    if not folder.has(MODULES):
        for name in folder.present(*_TRANSFORMERS, _SETTINGS, f"1_Pooling/{CONFIG}"):
            hint = "sentence-transformers ignores this file then: download the whole checkpoint, or delete the file"
            folder.problems.append(Problem(name, f"exists, but {MODULES} is missing", hint))
        return []
    modules = []
    for entry in folder.document(MODULES, or_else=[]):
        module = entry if isinstance(entry, dict) else {}
        kind, path = str(module.get("type", "")), str(module.get("path", ""))
        name = kind.rpartition(".")[2]
        if not kind.startswith(_PACKAGE) or name not in _KEYS:
            folder.problems.append(
                Problem(MODULES, f"has the module {kind or entry}", f"init supports {', '.join(_KEYS)}")
            )
        elif module.get("kwargs") or module.keys() - {"idx", "name", "path", "type", "kwargs"}:
            folder.problems.append(
                Problem(MODULES, f"{name} has {', '.join(sorted(module))}", "expected are idx, name, path and type")
            )
        elif name == "Transformer" and path:
            known = "the Transformer has to be in the checkpoint's own folder"
            folder.problems.append(Problem(MODULES, f"the Transformer lies in {path}", known))
        modules.append((name, path))
    if [kind for kind, _ in modules].count("Transformer") != 1 or modules[0][0] != "Transformer":
        folder.problems.append(Problem(MODULES, "does not start with its only Transformer"))
    return [(kind, path) for kind, path in modules if kind in _KEYS]


def _document_of(folder: CheckpointFolder, kind: str, path: str) -> str:
    if kind == "Transformer":
        return next(iter(folder.present(*_TRANSFORMERS)), _TRANSFORMERS[0])
    return f"{path}/{CONFIG}"


def _check_module(folder: CheckpointFolder, kind: str, name: str) -> None:
    settings = folder.document(name)
    for key, value in settings.items():
        if key in _VALUES and kind == "Transformer":
            if value not in _VALUES[key]:
                folder.problems.append(Problem(name, f"{key} is {_short(value)}", "init does not support it"))
        elif key == "modality_config" and kind == "Transformer":
            if not isinstance(value, dict) or "text" not in value or "message" in value:
                folder.problems.append(Problem(name, f"{key} is {_short(value)}", "init supports texts only"))
        elif key not in _KEYS[kind]:
            folder.problems.append(
                Problem(name, f"init does not know the setting {key} of {kind}", "it may change the answer")
            )
    if kind == "Pooling":
        _check_pooling(folder, name, settings)
    activation = settings.get("activation_function") if kind == "Dense" else None
    if activation is not None and not str(activation).startswith("torch."):
        folder.problems.append(Problem(name, f"activation_function is {activation}", "init supports those of torch"))


def _check_pooling(folder: CheckpointFolder, name: str, settings: Mapping[str, Any]) -> None:
    mode = settings.get("pooling_mode", "mean")
    modes = mode if isinstance(mode, list) else [mode]
    if not modes or (unknown := [str(mode) for mode in modes if mode not in _MODES]):
        folder.problems.append(
            Problem(
                name,
                f"pooling_mode is {', '.join(unknown) if modes else 'empty'}",
                f"init supports {', '.join(_MODES)}",
            )
        )
    weighted = "weightedmean" in modes or settings.get("pooling_mode_weightedmean_tokens") is True
    if weighted and settings.get("include_prompt") is False:
        folder.problems.append(Problem(name, "include_prompt is false for weightedmean", "init does not support both"))


def _check_settings(folder: CheckpointFolder) -> None:
    settings = folder.document(_SETTINGS)
    for key in sorted(settings.keys() - _SETTINGS_KEYS):
        folder.problems.append(Problem(_SETTINGS, f"init does not know the setting {key}", "it may change the answer"))
    if (kind := settings.get("model_type") or "SentenceTransformer") != "SentenceTransformer":
        folder.problems.append(Problem(_SETTINGS, f"model_type is {kind}", "init supports SentenceTransformer"))
    prompts = settings.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(prompt, str | None) for prompt in prompts.values()):
        folder.problems.append(Problem(_SETTINGS, "prompts does not map names to texts"))
    elif _NO_PROMPT in prompts:
        hint = "requests turn prompts off by this name: rename the prompt"
        folder.problems.append(Problem(_SETTINGS, f"has a prompt with the name {_NO_PROMPT}", hint))
    elif settings.get("default_prompt_name") not in (None, *prompts):
        folder.problems.append(
            Problem(_SETTINGS, f"default_prompt_name is {settings['default_prompt_name']}, which prompts lacks")
        )


def _short(value: object) -> str:
    return json.dumps(value)[:60]
