"""What a checkpoint of embeddings says in the documents of sentence-transformers: every setting that is not baked by name.

The export stage has sentence-transformers itself read them. Here they are read so that ``init`` names at once what the
export would refuse, and so that no key is left that decides the answer and nobody knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from prebake.errors import Problem
from prebake.workflow.beginnings.facts import Facts
from prebake.workflow.beginnings.folder import CONFIG, Folder
from prebake.workflow.beginnings.texts import read_texts

MODULES = "modules.json"
_SETTINGS = "config_sentence_transformers.json"
# The library reads the first that is there.
_TRANSFORMERS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
_PACKAGE = "sentence_transformers."
# Keys by module that the library reads and the export bakes, whatever their value.
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
# Keys that are baked with these values alone.
_VALUES: Mapping[str, tuple[Any, ...]] = {
    "transformer_task": ("feature-extraction",), "processing_kwargs": (None, {}), "query_length": (None,),
    "document_length": (None,), "query_expansion": (None,), "tokenizer_name_or_path": (None,),
}  # fmt: skip
# similarity_fn_name decides how embeddings are compared, __version__ and requirements nothing: the lock has the versions.
_SETTINGS_KEYS = {
    "__version__", "prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim", "model_type", "requirements",
}  # fmt: skip
_NO_PROMPT = "no-prompt"  # what the image's code calls the absence of a prompt
_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def read_encoder(folder: Folder, config: Mapping[str, Any]) -> Facts:
    """Embeddings as ``SentenceTransformer.encode`` gives them: by the modules of modules.json; of plain transformers the
    mean over the tokens."""
    if config.get("is_encoder_decoder"):
        folder.problems.append(Problem(CONFIG, "is_encoder_decoder: the model is none that encodes alone"))
    if folder.has("adapter_config.json"):
        folder.problems.append(
            Problem("adapter_config.json", "the weights are an adapter's", "merge it into its network")
        )
    modules = _modules(folder)
    documents = [_document_of(folder, kind, path) for kind, path in modules]
    for (kind, _), name in zip(modules, documents, strict=True):
        _check_module(folder, kind, name)
    if folder.has(_SETTINGS):
        _check_settings(folder)
    weights = [f"{path}/{name}" for kind, path in modules if kind != "Transformer" for name in _WEIGHTS]
    files = folder.present(MODULES, _SETTINGS, *documents, *weights)
    kinds = [kind for kind, _ in modules] or ["Transformer", "Pooling"]
    return read_texts(folder, config, files, modules=", ".join(kinds), unit=kinds[-1] == "Normalize")


def _modules(folder: Folder) -> list[tuple[str, str]]:
    """Each module with its folder, in order; none for a checkpoint of plain transformers."""
    if not folder.has(MODULES):
        for name in folder.present(*_TRANSFORMERS, _SETTINGS, f"1_Pooling/{CONFIG}"):
            hint = "without it sentence-transformers does not read this file: take the checkpoint whole, or drop it"
            folder.problems.append(Problem(name, f"is here, but {MODULES} is missing", hint))
        return []
    modules = []
    for each in folder.document(MODULES, or_else=[]):
        said = each if isinstance(each, dict) else {}
        kind, path = str(said.get("type", "")), str(said.get("path", ""))
        name = kind.rpartition(".")[2]
        if not kind.startswith(_PACKAGE) or name not in _KEYS:
            folder.problems.append(Problem(MODULES, f"has the module {kind or each}", f"known are {', '.join(_KEYS)}"))
        elif said.get("kwargs") or said.keys() - {"idx", "name", "path", "type", "kwargs"}:
            folder.problems.append(
                Problem(MODULES, f"{name} has {', '.join(sorted(said))}", "known are idx, name, path and type")
            )
        elif name == "Transformer" and path:
            known = "known are checkpoints that have it in the folder itself"
            folder.problems.append(Problem(MODULES, f"the network lies in {path}", known))
        modules.append((name, path))
    if [kind for kind, _ in modules].count("Transformer") != 1 or modules[0][0] != "Transformer":
        folder.problems.append(Problem(MODULES, "does not begin with its one Transformer"))
    return [(kind, path) for kind, path in modules if kind in _KEYS]


def _document_of(folder: Folder, kind: str, path: str) -> str:
    if kind == "Transformer":
        return next(iter(folder.present(*_TRANSFORMERS)), _TRANSFORMERS[0])
    return f"{path}/{CONFIG}"


def _check_module(folder: Folder, kind: str, name: str) -> None:
    says = folder.document(name)
    for key, value in says.items():
        if key in _VALUES and kind == "Transformer":
            if value not in _VALUES[key]:
                folder.problems.append(Problem(name, f"{key} is {_short(value)}", "is not served"))
        elif key == "modality_config" and kind == "Transformer":
            if not isinstance(value, dict) or "text" not in value or "message" in value:
                folder.problems.append(Problem(name, f"{key} is {_short(value)}", "served are texts by themselves"))
        elif key not in _KEYS[kind]:
            folder.problems.append(
                Problem(name, f"{key} is no setting of {kind} that is known", "it may decide the answer")
            )
    if kind == "Pooling":
        _check_pooling(folder, name, says)
    activation = says.get("activation_function") if kind == "Dense" else None
    if activation is not None and not str(activation).startswith("torch."):
        folder.problems.append(Problem(name, f"activation_function is {activation}", "known are those of torch"))


def _check_pooling(folder: Folder, name: str, says: Mapping[str, Any]) -> None:
    asked = says.get("pooling_mode", "mean")
    modes = asked if isinstance(asked, list) else [asked]
    if not modes or (unknown := [str(each) for each in modes if each not in _MODES]):
        folder.problems.append(
            Problem(
                name, f"pooling_mode is {', '.join(unknown) if modes else 'empty'}", f"known are {', '.join(_MODES)}"
            )
        )
    weighted = "weightedmean" in modes or says.get("pooling_mode_weightedmean_tokens") is True
    if weighted and says.get("include_prompt") is False:
        folder.problems.append(Problem(name, "include_prompt is false for weightedmean", "is not served together"))


def _check_settings(folder: Folder) -> None:
    says = folder.document(_SETTINGS)
    for key in sorted(says.keys() - _SETTINGS_KEYS):
        folder.problems.append(Problem(_SETTINGS, f"{key} is no setting that is known", "it may decide the answer"))
    if (kind := says.get("model_type") or "SentenceTransformer") != "SentenceTransformer":
        folder.problems.append(Problem(_SETTINGS, f"model_type is {kind}", "known is SentenceTransformer"))
    prompts = says.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(each, str | None) for each in prompts.values()):
        folder.problems.append(Problem(_SETTINGS, "prompts is no map of names to texts"))
    elif _NO_PROMPT in prompts:
        hint = "requests turn prompts off by that name: give it another"
        folder.problems.append(Problem(_SETTINGS, f"prompts has one that is called {_NO_PROMPT}", hint))
    elif says.get("default_prompt_name") not in (None, *prompts):
        folder.problems.append(
            Problem(_SETTINGS, f"default_prompt_name is {says['default_prompt_name']}, which prompts lacks")
        )


def _short(value: object) -> str:
    return json.dumps(value)[:60]
