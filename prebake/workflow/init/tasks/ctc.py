"""Speech recognition by connectionist temporal classification (CTC): its feature extractor and its vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prebake.errors import Problem
from prebake.workflow.init.checkpoint_folder import CONFIG, CheckpointFolder, TaskContents
from prebake.workflow.init.known_keys import check_keys
from prebake.workflow.init.tasks.sample_inputs import make_wav

_SAMPLE_RATE, _MAX_SECONDS = 16_000, 60
_VOCABULARY, _TOKENIZER = "vocab.json", "tokenizer_config.json"
_MORE_FILES = ("special_tokens_map.json", "added_tokens.json")
# transformers wrote the first until its version 5, and writes the second since.
_EXTRACTOR, _PROCESSOR = "preprocessor_config.json", "processor_config.json"
_KNOWN = "Wav2Vec2FeatureExtractor"
# Keys of the extractor that the export bakes, and keys without effect: audio is given whole and not padded.
_BAKED = {"do_normalize", "sampling_rate", "feature_size"}
_WITHOUT_EFFECT = {
    "feature_extractor_type", "processor_class", "padding_side", "padding_value", "return_attention_mask", "return_tensors",
    "_processor_class", "transformers_version",
}  # fmt: skip


def read_ctc_model(folder: CheckpointFolder, config: Mapping[str, Any]) -> TaskContents:
    """The contents of an image of a CTC model that takes audio samples, not spectrograms."""
    if folder.require(_VOCABULARY, "save it by Wav2Vec2CTCTokenizer's save_pretrained"):
        _check_vocabulary(folder, config)
    folder.require(_TOKENIZER)
    extractor = folder.document(_EXTRACTOR) or folder.document(_PROCESSOR).get("feature_extractor", {})
    if not extractor:
        folder.problems.append(Problem(_EXTRACTOR, "is missing", "save it by AutoFeatureExtractor's save_pretrained"))
    _check_extractor(folder, extractor)
    return TaskContents(
        files=folder.present(_VOCABULARY, _TOKENIZER, *_MORE_FILES, _EXTRACTOR, _PROCESSOR),
        samples={"sample.wav": make_wav()},
        values={"normalized": bool(extractor.get("do_normalize", True)), "longest": _MAX_SECONDS},
    )


def _check_vocabulary(folder: CheckpointFolder, config: Mapping[str, Any]) -> None:
    vocabulary, rows = folder.document(_VOCABULARY), config.get("vocab_size")
    ids = [token_id for token_id in vocabulary.values() if isinstance(token_id, int)]
    if any(isinstance(value, dict) for value in vocabulary.values()):
        folder.problems.append(Problem(_VOCABULARY, "has a vocabulary for each of several languages", "keep one"))
    elif len(ids) < len(vocabulary):
        folder.problems.append(Problem(_VOCABULARY, "has tokens whose ids are not numbers"))
    elif isinstance(rows, int) and ids and max(ids) >= rows:
        what = f"has ids up to {max(ids)}, but {CONFIG} has vocab_size {rows}"
        folder.problems.append(Problem(_VOCABULARY, what, "the tokenizer belongs to another checkpoint"))


def _check_extractor(folder: CheckpointFolder, extractor: Mapping[str, Any]) -> None:
    kind = extractor.get("feature_extractor_type", _KNOWN)
    if kind != _KNOWN:
        folder.problems.append(Problem(_EXTRACTOR, f"the feature extractor is {kind}", f"init supports {_KNOWN}"))
    if extractor.get("sampling_rate", _SAMPLE_RATE) != _SAMPLE_RATE:
        folder.problems.append(
            Problem(_EXTRACTOR, f"sampling_rate is {extractor['sampling_rate']}", f"init supports {_SAMPLE_RATE}")
        )
    if extractor.get("feature_size", 1) != 1:
        folder.problems.append(
            Problem(_EXTRACTOR, f"feature_size is {extractor['feature_size']}", "init supports 1 (audio samples)")
        )
    check_keys(folder, _EXTRACTOR, extractor, _BAKED, _WITHOUT_EFFECT)
