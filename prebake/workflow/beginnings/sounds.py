"""What a checkpoint that hears says of its samples and its letters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prebake.errors import Problem
from prebake.workflow.beginnings.facts import Facts
from prebake.workflow.beginnings.folder import CONFIG, Folder
from prebake.workflow.beginnings.known_keys import check_keys
from prebake.workflow.beginnings.samples import play_sound

_RATE, _LONGEST = 16_000, 60  # seconds
_VOCABULARY, _TOKENIZER = "vocab.json", "tokenizer_config.json"
_BESIDES = ("special_tokens_map.json", "added_tokens.json")
# transformers wrote the one until its fifth version, and writes the other since.
_ALONE, _WITHIN = "preprocessor_config.json", "processor_config.json"
_KNOWN = "Wav2Vec2FeatureExtractor"
# Of the extractor: sounds are not padded, and given whole.
_BAKED = {"do_normalize", "sampling_rate", "feature_size"}
_BESIDE = {
    "feature_extractor_type", "processor_class", "padding_side", "padding_value", "return_attention_mask", "return_tensors",
    "_processor_class", "transformers_version",
}  # fmt: skip


def read_recogniser(folder: Folder, config: Mapping[str, Any]) -> Facts:
    """Speech recognition by connectionist temporal classification, from samples and not from spectra."""
    if folder.require(_VOCABULARY, "the tokens by their letters, as Wav2Vec2CTCTokenizer has them"):
        _check_vocabulary(folder, config)
    folder.require(_TOKENIZER)
    says = folder.document(_ALONE) or folder.document(_WITHIN).get("feature_extractor", {})
    if not says:
        folder.problems.append(Problem(_ALONE, "is missing", "save it by AutoFeatureExtractor's save_pretrained"))
    _check_extractor(folder, says)
    return Facts(
        files=folder.present(_VOCABULARY, _TOKENIZER, *_BESIDES, _ALONE, _WITHIN),
        samples={"sample.wav": play_sound()},
        values={"normalised": bool(says.get("do_normalize", True)), "longest": _LONGEST},
    )


def _check_vocabulary(folder: Folder, config: Mapping[str, Any]) -> None:
    vocabulary, rows = folder.document(_VOCABULARY), config.get("vocab_size")
    ids = [each for each in vocabulary.values() if isinstance(each, int)]
    if any(isinstance(each, dict) for each in vocabulary.values()):
        folder.problems.append(Problem(_VOCABULARY, "has a vocabulary for each of several languages", "keep one"))
    elif len(ids) < len(vocabulary):
        folder.problems.append(Problem(_VOCABULARY, "has tokens whose ids are no numbers"))
    elif isinstance(rows, int) and ids and max(ids) >= rows:
        what = f"has ids up to {max(ids)}, but by {CONFIG} there are {rows} (vocab_size)"
        folder.problems.append(Problem(_VOCABULARY, what, "the tokenizer is of another checkpoint"))


def _check_extractor(folder: Folder, says: Mapping[str, Any]) -> None:
    kind = says.get("feature_extractor_type", _KNOWN)
    if kind != _KNOWN:
        folder.problems.append(Problem(_ALONE, f"the feature extractor is {kind}", f"known is {_KNOWN}"))
    if says.get("sampling_rate", _RATE) != _RATE:
        folder.problems.append(Problem(_ALONE, f"sampling_rate is {says['sampling_rate']}", f"served is {_RATE}"))
    if says.get("feature_size", 1) != 1:
        folder.problems.append(Problem(_ALONE, f"feature_size is {says['feature_size']}", "served are samples, 1"))
    check_keys(folder, _ALONE, says, _BAKED, _BESIDE)
