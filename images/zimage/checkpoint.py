"""Checks that a checkpoint is a pipeline that this image can serve. All faults are reported before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from diffusers import AutoencoderKL, ZImageTransformer2DModel
from tokenizers import Tokenizer
from transformers import Qwen3Config, Qwen3Model

from prebake.bake.authoring import (
    CheckpointInspection,
    Document,
    PipelinePart,
    Problem,
    inspect_checkpoint,
    raise_problems,
)

BODY, HEAD = "model.", "lm_head.weight"
"""The prefix of names in a causal language model, and its other tensors."""
PARTS = {
    "index": PipelinePart("model_index.json"),
    "scheduler": PipelinePart("scheduler/scheduler_config.json"),
    "tokenizer": PipelinePart("tokenizer/tokenizer.json", lambda document: Tokenizer.from_str(json.dumps(document))),
    "text_encoder": PipelinePart(
        "text_encoder/config.json",
        lambda config: Qwen3Model(Qwen3Config(**config)),
        weights="text_encoder/model",
        rename=lambda name: name.removeprefix(BODY),
        unused_prefixes=(HEAD,),
    ),
    "transformer": PipelinePart(
        "transformer/config.json",
        ZImageTransformer2DModel.from_config,
        weights="transformer/diffusion_pytorch_model",
    ),
    "vae": PipelinePart("vae/config.json", AutoencoderKL.from_config, weights="vae/diffusion_pytorch_model"),
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
"""The settings that ``sampler.py`` supports; it does not implement other schedules of this class."""


def check_checkpoint(folder: Path, shipped: Collection[str]) -> None:
    """``shipped``: the files that the image ships as published. Raises WeightsError that lists every fault."""
    found = inspect_checkpoint(folder, PARTS)
    own = [*_of_documents(found), *_agreement(found), *_types(found, shipped)]
    raise_problems([*found.problems, *own], "The checkpoint is not a pipeline that this image can serve:")


def _of_documents(found: CheckpointInspection) -> Iterator[Problem]:
    for name, check in (("index", _classes), ("scheduler", _schedule), ("transformer", _patches)):
        if name in found.documents:
            yield from check(found.documents[name])


def _agreement(found: CheckpointInspection) -> Iterator[Problem]:
    """Fields of two documents that must agree."""
    pairs = (
        ("transformer", "cap_feat_dim", "text_encoder", "hidden_size"),
        ("transformer", "in_channels", "vae", "latent_channels"),
    )
    for one, field, other, counterpart in pairs:
        mine, yours = (found.documents.get(name, {}).get(each) for name, each in ((one, field), (other, counterpart)))
        if None not in (mine, yours) and mine != yours:
            what = f"is {mine}, {PARTS[other].document} has {counterpart} {yours}"
            yield Problem(f"{PARTS[one].document}: {field}", what)
    if "tokenizer" in found.built:
        yield from _tokens(found.built["tokenizer"], found.built.get("text_encoder"))


def _tokens(tokenizer: Tokenizer, text_encoder: Qwen3Model | None) -> Iterator[Problem]:
    kind = type(tokenizer.model).__name__
    if kind != "BPE":
        yield Problem(PARTS["tokenizer"].document, f"is of the kind {kind}, but the pipeline's Qwen2Tokenizer is BPE")
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if text_encoder is not None and largest >= text_encoder.config.vocab_size:
        rows = f"the vocab_size of {PARTS['text_encoder'].document} is {text_encoder.config.vocab_size}"
        yield Problem(
            PARTS["tokenizer"].document, f"has tokens up to {largest}, but {rows}", "it may be another model's"
        )


def _types(found: CheckpointInspection, shipped: Collection[str]) -> Iterator[Problem]:
    for path, tensors in found.tensors.items():
        types = sorted({tensor.dtype for tensor in tensors.values()} - {"F32"})
        if types and path in shipped:
            hint = "leave it out of `ship`, and set `derived: true` for its component"
            yield Problem(path, f"is {', '.join(types)}, which ONNX Runtime's CPU provider cannot compute", hint)


def _classes(index: Document) -> Iterator[Problem]:
    if index.get("_class_name") != "ZImagePipeline":
        yield Problem(PARTS["index"].document, f"describes a {index.get('_class_name')}, not a ZImagePipeline")
    for name, classes in CLASSES.items():
        given = index.get(name)
        if not isinstance(given, list) or not classes.issuperset(given[-1:] or [None]):
            yield Problem(f"{PARTS['index'].document}: {name}", f"is {given!r}, not {' or '.join(sorted(classes))}")


def _schedule(config: Document) -> Iterator[Problem]:
    for field, plain in PLAIN_SCHEDULE.items():
        if config.get(field, plain) != plain:
            yield Problem(
                f"{PARTS['scheduler'].document}: {field}", f"is {config[field]!r}, this image serves {plain!r}"
            )


def _patches(config: Document) -> Iterator[Problem]:
    sizes = config.get("all_patch_size", [2]), config.get("all_f_patch_size", [1])
    if not all(isinstance(each, list) for each in sizes) or (2, 1) not in zip(*sizes, strict=False):
        where = f"{PARTS['transformer'].document}: all_patch_size"
        yield Problem(where, f"has no patches of 2 x 2 in one frame: {sizes[0]}, in {sizes[1]} frames")
