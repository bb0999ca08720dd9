"""Whisper models: their feature extractor, their tokens and their generation config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from prebake.errors import Problem
from prebake.workflow.init.checkpoint_folder import CONFIG, CheckpointFolder, TaskContents
from prebake.workflow.init.known_keys import check_keys
from prebake.workflow.init.tasks.sample_inputs import make_wav
from prebake.workflow.init.tasks.text import TOKENIZER, check_vocabulary

_GENERATION, _TOKENIZER_CONFIG = "generation_config.json", "tokenizer_config.json"
_MORE_FILES = ("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "normalizer.json")
_EXTRACTOR, _PROCESSOR = "preprocessor_config.json", "processor_config.json"
_KNOWN, _RATE, _STRIDE = "WhisperFeatureExtractor", 16_000, 2
# WhisperFeatureExtractor's defaults.
_SIZES = {"feature_size": 80, "n_fft": 400, "hop_length": 160, "chunk_length": 30}
_PLAIN: Mapping[str, Any] = {"sampling_rate": _RATE, "do_normalize": False, "dither": 0, "padding_value": 0}
_NEEDED = ("decoder_layers", "max_source_positions", "max_target_positions", "d_model", "encoder_attention_heads")
# Keys of generation_config.json that change greedy search, and their values without effect.
_GREEDY: Mapping[str, tuple[Any, ...]] = {
    "repetition_penalty": (1,), "no_repeat_ngram_size": (0,), "encoder_repetition_penalty": (1,),
    "encoder_no_repeat_ngram_size": (0,), "min_length": (0,), "min_new_tokens": (0,), "bad_words_ids": (), "sequence_bias": (),
    "forced_bos_token_id": (), "forced_eos_token_id": (), "exponential_decay_length_penalty": (), "guidance_scale": (1,),
    "no_speech_threshold": (), "logprob_threshold": (), "compression_ratio_threshold": (), "stop_strings": (),
    "watermarking_config": (), "constraints": (),
}  # fmt: skip
# Keys that the export bakes, and keys without effect on one window decoded greedily without timestamps.
_EXTRACTOR_KEYS = {
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


def read_whisper_model(folder: CheckpointFolder, config: Mapping[str, Any]) -> TaskContents:
    """The contents of an image for speech recognition and translation of one window of audio."""
    _check_network(folder, config)
    extractor = folder.document(_EXTRACTOR) or folder.document(_PROCESSOR).get("feature_extractor", {})
    if not extractor:
        folder.problems.append(Problem(_EXTRACTOR, "is missing", "save it by AutoFeatureExtractor's save_pretrained"))
    sizes = _check_extractor(folder, config, extractor)
    if folder.require(TOKENIZER, "load it by AutoTokenizer and save it by save_pretrained"):
        check_vocabulary(folder, config)
    folder.require(_TOKENIZER_CONFIG)
    if folder.require(_GENERATION, "save the model's generation_config by save_pretrained"):
        _check_generation(folder, config)
    languages = folder.document(_GENERATION).get("lang_to_id")
    return TaskContents(
        files=folder.present(_GENERATION, TOKENIZER, _TOKENIZER_CONFIG, *_MORE_FILES, _EXTRACTOR, _PROCESSOR),
        samples={"sample.wav": make_wav()},
        values={**sizes, "longest": sizes["chunk_length"], "multilingual": bool(languages)},
        memory=_memory(config),
    )


def _check_network(folder: CheckpointFolder, config: Mapping[str, Any]) -> None:
    for name in _NEEDED:
        if not _is_size(config.get(name)):
            folder.problems.append(Problem(CONFIG, f"{name} is missing, or not a size"))


def _check_extractor(
    folder: CheckpointFolder, config: Mapping[str, Any], extractor: Mapping[str, Any]
) -> dict[str, int]:
    """The feature extractor's sizes, which have to fit the encoder."""
    kind = extractor.get("feature_extractor_type", _KNOWN)
    if kind != _KNOWN:
        folder.problems.append(Problem(_EXTRACTOR, f"the feature extractor is {kind}", f"init supports {_KNOWN}"))
        return dict(_SIZES)
    for name, wanted in _PLAIN.items():
        if (got := extractor.get(name)) is not None and got != wanted:
            folder.problems.append(Problem(_EXTRACTOR, f"{name} is {got}", f"init supports {wanted}"))
    check_keys(folder, _EXTRACTOR, extractor, _SIZES, _PLAIN, _EXTRACTOR_KEYS)
    sizes = {name: extractor.get(name, size) for name, size in _SIZES.items()}
    if wrong := [name for name, size in sizes.items() if not _is_size(size)]:
        folder.problems += [Problem(_EXTRACTOR, f"{name} is {sizes[name]}", "it must be a size") for name in wrong]
        return dict(_SIZES)
    _check_sizes(folder, config, sizes)
    return sizes


def _check_sizes(folder: CheckpointFolder, config: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    mels, frames = sizes["feature_size"], sizes["chunk_length"] * _RATE // sizes["hop_length"]
    if (wanted := config.get("num_mel_bins")) not in (None, mels):
        what = f"feature_size is {mels}, but {CONFIG} has num_mel_bins {wanted}"
        folder.problems.append(Problem(_EXTRACTOR, what, "the feature extractor belongs to another checkpoint"))
    positions = config.get("max_source_positions")
    if _is_size(positions) and positions * _STRIDE != frames:
        what = f"its windows have {frames} frames, but {CONFIG} has {positions} positions of {_STRIDE} frames"
        folder.problems.append(Problem(_EXTRACTOR, what, "the feature extractor belongs to another checkpoint"))


def _check_generation(folder: CheckpointFolder, config: Mapping[str, Any]) -> None:
    """The generation config has to ask for greedy search, with tokens of the model."""
    generation = folder.document(_GENERATION)
    for name in ("decoder_start_token_id", "eos_token_id"):
        if not isinstance(generation.get(name), int):
            folder.problems.append(Problem(_GENERATION, f"{name} is missing, or not a token id"))
    if generation.get("max_length") is None and generation.get("max_new_tokens") is None:
        folder.problems.append(Problem(_GENERATION, "has neither max_length nor max_new_tokens"))
    for name, neutral in _GREEDY.items():
        if (value := generation.get(name)) is not None and value not in neutral:
            folder.problems.append(Problem(_GENERATION, f"{name} is {value}", "init supports greedy search without it"))
    check_keys(folder, _GENERATION, generation, _GREEDY, _GENERATED, _UNUSED)
    _check_languages(folder, generation)
    rows = config.get("vocab_size")
    beyond = [
        token
        for token in _token_ids(generation)
        if not isinstance(token, int) or (isinstance(rows, int) and token >= rows)
    ]
    if beyond:
        what = f"has invalid token ids such as {beyond[0]}: {CONFIG} has vocab_size {rows}"
        folder.problems.append(Problem(_GENERATION, what, "the file belongs to another checkpoint"))


def _check_languages(folder: CheckpointFolder, generation: Mapping[str, Any]) -> None:
    languages, tasks = generation.get("lang_to_id"), generation.get("task_to_id")
    forced = generation.get("forced_decoder_ids") or ()
    multilingual = generation.get("is_multilingual", bool(languages))
    if multilingual and not (languages and "transcribe" in (tasks or {})):
        what = "is_multilingual, but lang_to_id or task_to_id is missing"
        folder.problems.append(Problem(_GENERATION, what, "the file is outdated: take it from the newest revision"))
    known = {name.strip("<|>") for name in languages or ()}
    if (
        languages
        and len(language := str(generation.get("language") or "").lower().strip("<|>")) == 2
        and language not in known
    ):
        folder.problems.append(Problem(_GENERATION, f"language is {language}, which lang_to_id lacks"))
    if (task := generation.get("task")) is not None and task not in (tasks or {}):
        folder.problems.append(Problem(_GENERATION, f"task is {task}, which task_to_id lacks"))
    if not multilingual and (languages or generation.get("language") or generation.get("task")):
        what = "is_multilingual is not true, but there are languages or tasks"
        folder.problems.append(Problem(_GENERATION, what, "delete lang_to_id, language and task, or correct it"))
    pairs = [pair for pair in forced if isinstance(pair, list) and len(pair) == 2]
    in_order = len(pairs) == len(forced) and [place for place, _ in pairs] == list(range(1, len(pairs) + 1))
    if not multilingual and not (in_order and all(isinstance(token, int) for _, token in pairs)):
        what = "forced_decoder_ids are not token ids for positions 1, 2 and so on"
        folder.problems.append(Problem(_GENERATION, what, "correct it"))


def _token_ids(generation: Mapping[str, Any]) -> list[Any]:
    named = [generation.get(name) for name in ("decoder_start_token_id", "eos_token_id", "no_timestamps_token_id")]
    listed = [*(generation.get("suppress_tokens") or ()), *(generation.get("begin_suppress_tokens") or ())]
    mapped = [*(generation.get("lang_to_id") or {}).values(), *(generation.get("task_to_id") or {}).values()]
    return [*(token for token in named if token is not None), *listed, *mapped]


def _is_size(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _memory(config: Mapping[str, Any]) -> int:
    """Bytes of the attention scores of an encoder layer and of the decoder's key-value cache."""
    if not all(_is_size(config.get(name)) for name in _NEEDED):
        return 0
    layers, frames, tokens, width, heads = (config[name] for name in _NEEDED)
    return 4 * int(2 * heads * frames**2 + 2 * layers * width * (frames + 2 * tokens))
