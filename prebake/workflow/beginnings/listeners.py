"""What a checkpoint that hears and writes, a Whisper, says of its spectra, its tokens and its rules of writing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from prebake.errors import Problem
from prebake.workflow.beginnings.facts import Facts
from prebake.workflow.beginnings.folder import CONFIG, Folder
from prebake.workflow.beginnings.known_keys import check_keys
from prebake.workflow.beginnings.samples import play_sound
from prebake.workflow.beginnings.texts import TOKENIZER, check_vocabulary

_GENERATION, _TOKENIZER_CONFIG = "generation_config.json", "tokenizer_config.json"
_BESIDES = ("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "normalizer.json")
_ALONE, _WITHIN = "preprocessor_config.json", "processor_config.json"
_KNOWN, _RATE, _STRIDE = "WhisperFeatureExtractor", 16_000, 2
# Of preprocessor_config.json, as WhisperFeatureExtractor has them where they are left out.
_SIZES = {"feature_size": 80, "n_fft": 400, "hop_length": 160, "chunk_length": 30}
_PLAIN: Mapping[str, Any] = {"sampling_rate": _RATE, "do_normalize": False, "dither": 0, "padding_value": 0}
_NEEDED = ("decoder_layers", "max_source_positions", "max_target_positions", "d_model", "encoder_attention_heads")
# Of generation_config.json: what changes greedy search, and the values that leave it as it is.
_GREEDY: Mapping[str, tuple[Any, ...]] = {
    "repetition_penalty": (1,), "no_repeat_ngram_size": (0,), "encoder_repetition_penalty": (1,),
    "encoder_no_repeat_ngram_size": (0,), "min_length": (0,), "min_new_tokens": (0,), "bad_words_ids": (), "sequence_bias": (),
    "forced_bos_token_id": (), "forced_eos_token_id": (), "exponential_decay_length_penalty": (), "guidance_scale": (1,),
    "no_speech_threshold": (), "logprob_threshold": (), "compression_ratio_threshold": (), "stop_strings": (),
    "watermarking_config": (), "constraints": (),
}  # fmt: skip
# Of both documents: what the export takes over, and what decides nothing of one window, written greedily without times.
_EXTRACTOR = {
    "feature_extractor_type", "processor_class", "padding_side", "return_attention_mask", "n_samples", "nb_max_frames",
    "mel_filters", "_processor_class", "transformers_version",
}  # fmt: skip
_GENERATED = {
    "decoder_start_token_id", "eos_token_id", "no_timestamps_token_id", "max_length", "max_new_tokens", "is_multilingual",
    "lang_to_id", "task_to_id", "suppress_tokens", "begin_suppress_tokens", "forced_decoder_ids", "language", "task",
}  # fmt: skip
_UNUSED = {
    "_from_model_config", "transformers_version", "alignment_heads", "median_filter_width", "return_timestamps", "bos_token_id",
    "max_initial_timestamp_index", "prev_sot_token_id", "pad_token_id", "use_cache", "return_dict_in_generate", "output_scores",
    "output_attentions", "output_hidden_states", "output_logits", "do_sample", "num_beams", "num_beam_groups", "temperature",
    "top_k", "top_p", "top_h", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "num_return_sequences", "early_stopping",
    "length_penalty", "diversity_penalty", "renormalize_logits", "remove_invalid_values", "cache_implementation",
    "condition_on_prev_tokens", "max_time", "is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule",
    "assistant_confidence_threshold", "assistant_lookbehind", "target_lookbehind", "prompt_lookup_num_tokens",
}  # fmt: skip


def read_listener(folder: Folder, config: Mapping[str, Any]) -> Facts:
    """Speech recognition and translation by a decoder, from spectra of one window of sound."""
    _check_network(folder, config)
    says = folder.document(_ALONE) or folder.document(_WITHIN).get("feature_extractor", {})
    if not says:
        folder.problems.append(Problem(_ALONE, "is missing", "save it by AutoFeatureExtractor's save_pretrained"))
    sizes = _check_extractor(folder, config, says)
    if folder.require(TOKENIZER, "load it by AutoTokenizer and save it by save_pretrained"):
        check_vocabulary(folder, config)
    folder.require(_TOKENIZER_CONFIG)
    if folder.require(_GENERATION, "save the model's generation_config by save_pretrained"):
        _check_generation(folder, config)
    languages = folder.document(_GENERATION).get("lang_to_id")
    return Facts(
        files=folder.present(_GENERATION, TOKENIZER, _TOKENIZER_CONFIG, *_BESIDES, _ALONE, _WITHIN),
        samples={"sample.wav": play_sound()},
        values={**sizes, "longest": sizes["chunk_length"], "multilingual": bool(languages)},
        memory=_memory(config),
    )


def _check_network(folder: Folder, config: Mapping[str, Any]) -> None:
    for name in _NEEDED:
        if not _is_size(config.get(name)):
            folder.problems.append(Problem(CONFIG, f"{name} is missing, or no size"))


def _check_extractor(folder: Folder, config: Mapping[str, Any], says: Mapping[str, Any]) -> dict[str, int]:
    """Its sizes, which have to be those of the encoder."""
    kind = says.get("feature_extractor_type", _KNOWN)
    if kind != _KNOWN:
        folder.problems.append(Problem(_ALONE, f"the feature extractor is {kind}", f"known is {_KNOWN}"))
        return dict(_SIZES)
    for name, wanted in _PLAIN.items():
        if (got := says.get(name)) is not None and got != wanted:
            folder.problems.append(Problem(_ALONE, f"{name} is {got}", f"served is {wanted}"))
    check_keys(folder, _ALONE, says, _SIZES, _PLAIN, _EXTRACTOR)
    sizes = {name: says.get(name, size) for name, size in _SIZES.items()}
    if wrong := [name for name, size in sizes.items() if not _is_size(size)]:
        folder.problems += [Problem(_ALONE, f"{name} is {sizes[name]}", "it is a size") for name in wrong]
        return dict(_SIZES)
    _check_sizes(folder, config, sizes)
    return sizes


def _check_sizes(folder: Folder, config: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    mels, frames = sizes["feature_size"], sizes["chunk_length"] * _RATE // sizes["hop_length"]
    if (wanted := config.get("num_mel_bins")) not in (None, mels):
        what = f"feature_size is {mels}, but by {CONFIG} there are {wanted} (num_mel_bins)"
        folder.problems.append(Problem(_ALONE, what, "the feature extractor is of another checkpoint"))
    positions = config.get("max_source_positions")
    if _is_size(positions) and positions * _STRIDE != frames:
        what = f"its windows have {frames} frames, but by {CONFIG} there are {positions} positions of {_STRIDE} frames"
        folder.problems.append(Problem(_ALONE, what, "the feature extractor is of another checkpoint"))


def _check_generation(folder: Folder, config: Mapping[str, Any]) -> None:
    """What the loop is told by: all of it greedy search, and every token one of the network's."""
    says = folder.document(_GENERATION)
    for name in ("decoder_start_token_id", "eos_token_id"):
        if not isinstance(says.get(name), int):
            folder.problems.append(Problem(_GENERATION, f"{name} is missing, or none"))
    if says.get("max_length") is None and says.get("max_new_tokens") is None:
        folder.problems.append(Problem(_GENERATION, "says neither max_length nor max_new_tokens"))
    for name, neutral in _GREEDY.items():
        if (value := says.get(name)) is not None and value not in neutral:
            folder.problems.append(Problem(_GENERATION, f"{name} is {value}", "served is greedy search without it"))
    check_keys(folder, _GENERATION, says, _GREEDY, _GENERATED, _UNUSED)
    _check_languages(folder, says)
    rows = config.get("vocab_size")
    beyond = [
        each for each in _token_ids(says) if not isinstance(each, int) or (isinstance(rows, int) and each >= rows)
    ]
    if beyond:
        what = f"has token ids that are none, as {beyond[0]}: by {CONFIG} there are {rows} (vocab_size)"
        folder.problems.append(Problem(_GENERATION, what, "it is of another checkpoint"))


def _check_languages(folder: Folder, says: Mapping[str, Any]) -> None:
    languages, tasks, forced = says.get("lang_to_id"), says.get("task_to_id"), says.get("forced_decoder_ids") or ()
    multilingual = says.get("is_multilingual", bool(languages))
    if multilingual and not (languages and "transcribe" in (tasks or {})):
        what = "is_multilingual, but lang_to_id or task_to_id is missing"
        folder.problems.append(Problem(_GENERATION, what, "it is outdated: take the checkpoint's newest"))
    known = {name.strip("<|>") for name in languages or ()}
    if languages and len(said := str(says.get("language") or "").lower().strip("<|>")) == 2 and said not in known:
        folder.problems.append(Problem(_GENERATION, f"language is {said}, which lang_to_id lacks"))
    if (task := says.get("task")) is not None and task not in (tasks or {}):
        folder.problems.append(Problem(_GENERATION, f"task is {task}, which task_to_id lacks"))
    if not multilingual and (languages or says.get("language") or says.get("task")):
        what = "is_multilingual is not true, but there are languages or tasks"
        folder.problems.append(Problem(_GENERATION, what, "drop lang_to_id, language and task, or correct it"))
    pairs = [each for each in forced if isinstance(each, list) and len(each) == 2]
    alike = len(pairs) == len(forced) and [each[0] for each in pairs] == list(range(1, len(pairs) + 1))
    if not multilingual and not (alike and all(isinstance(token, int) for _, token in pairs)):
        what = "forced_decoder_ids are no tokens for the places 1, 2 and so on"
        folder.problems.append(Problem(_GENERATION, what, "correct it"))


def _token_ids(says: Mapping[str, Any]) -> list[Any]:
    named = [says.get(name) for name in ("decoder_start_token_id", "eos_token_id", "no_timestamps_token_id")]
    listed = [*(says.get("suppress_tokens") or ()), *(says.get("begin_suppress_tokens") or ())]
    mapped = [*(says.get("lang_to_id") or {}).values(), *(says.get("task_to_id") or {}).values()]
    return [*(each for each in named if each is not None), *listed, *mapped]


def _is_size(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _memory(config: Mapping[str, Any]) -> int:
    """Bytes: the scores of an encoder's layer, and what the decoder remembers of the sound and of its own tokens."""
    if not all(_is_size(config.get(name)) for name in _NEEDED):
        return 0
    layers, heard, written, width, heads = (config[name] for name in _NEEDED)
    return 4 * int(2 * heads * heard**2 + 2 * layers * width * (heard + 2 * written))
