"""Tiny checkpoints of transformers' own classes with random weights, as ``save_pretrained`` writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    ViTConfig,
    ViTForImageClassification,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

WORDS = "the a container weight lie start warm in image and nothing is compile when first request come big ##s ##d ##ed ##r . ,"
SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 64, "initializer_range": 0.5,
}  # fmt: skip


def write_tokenizer(folder: Path) -> int:
    """Word pieces: some whole words, and letters. The number of its ids."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    letters = [form for letter in "abcdefghijklmnopqrstuvwxyz" for form in (letter, f"##{letter}")]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys([*special, *WORDS.split(), *letters]))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
    ends = [(each, vocabulary[each]) for each in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=48, **names).save_pretrained(folder)
    return len(vocabulary)


def write_bert(folder: Path, kind: Any, save: Mapping[str, Any] | None = None, **config: Any) -> None:
    """A BERT of this class with its tokenizer. ``save``: options of save_pretrained."""
    torch.manual_seed(5)
    vocabulary = write_tokenizer(folder)
    kind(BertConfig(**{"vocab_size": vocabulary, **SIZES, **config})).save_pretrained(folder, **(save or {}))


def write_classifier(folder: Path, save: Mapping[str, Any] | None = None, **config: Any) -> None:
    write_bert(folder, BertForSequenceClassification, save, **{"id2label": {0: "calm", 1: "glad", 2: "sad"}, **config})


def write_roberta(folder: Path) -> None:
    """Its positions begin behind the padding's, and its tokenizer does not say how many tokens there may be."""
    torch.manual_seed(5)
    vocabulary = write_tokenizer(folder)
    document = json.loads((folder / "tokenizer_config.json").read_text())
    del document["model_max_length"]
    (folder / "tokenizer_config.json").write_text(json.dumps(document))
    config = RobertaConfig(vocab_size=vocabulary, pad_token_id=0, id2label={0: "calm", 1: "glad"}, **SIZES)
    RobertaForSequenceClassification(config).save_pretrained(folder)


def write_encoder(folder: Path, **config: Any) -> None:
    write_bert(folder, BertModel, **config)


def write_tagger(folder: Path) -> None:
    write_bert(folder, BertForTokenClassification, id2label={0: "O", 1: "B-PER", 2: "I-PER", 3: "B-LOC", 4: "I-LOC"})


def keep_case(folder: Path) -> None:
    """A tokenizer that tells capitals apart."""
    document = json.loads((folder / "tokenizer.json").read_text())
    document["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(document))


def write_sentence_modules(folder: Path, *, cls: bool, lower: bool = False, pooling: str = "1_Pooling") -> None:
    """What sentence-transformers writes beside an encoder: pooling, normalization, and how many tokens count."""
    kinds = [("", "Transformer"), (pooling, "Pooling"), ("2_Normalize", "Normalize")]
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (path, kind) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 48, "do_lower_case": lower}))
    (folder / pooling).mkdir()
    width = SIZES["hidden_size"]
    modes = {"word_embedding_dimension": width, "pooling_mode_cls_token": cls, "pooling_mode_mean_tokens": not cls}
    (folder / pooling / "config.json").write_text(json.dumps(modes))


def write_image_classifier(folder: Path, **processor: Any) -> None:
    """A ViT that tells pictures apart. ``processor``: what differs in its preprocessor_config.json."""
    torch.manual_seed(3)
    sizes = {name: SIZES[name] for name in SIZES if name != "max_position_embeddings"}
    labels = {0: "cat", 1: "dog", 2: "sea"}
    ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, id2label=labels, **sizes)).save_pretrained(folder)
    document = {
        "image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}, "resample": 2,
        "do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255,
        "image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 0.3], **processor,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(document))


def write_recognizer(folder: Path, *, normalized: bool = True) -> None:
    """A wav2vec2 whose frames differ, with the published one's kinds of token."""
    torch.manual_seed(6)
    folder.mkdir(parents=True)
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONI'"]
    (folder / "vocab.json").write_text(json.dumps({letter: index for index, letter in enumerate(letters)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    extractor = Wav2Vec2FeatureExtractor(do_normalize=normalized)
    Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer).save_pretrained(folder)
    sizes = {name: SIZES[name] for name in SIZES if name != "max_position_embeddings"}
    convolutions = {"conv_dim": (16,) * 3, "conv_stride": (10, 8, 4), "conv_kernel": (10, 8, 4)}
    positions = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
    config = Wav2Vec2Config(vocab_size=len(letters), pad_token_id=0, **sizes, **convolutions, **positions)
    Wav2Vec2ForCTC(config).save_pretrained(folder)


LANGUAGES = ("en", "de", "fr")
LAYERS = {"layers": 2, "attention_heads": 4, "ffn_dim": 64}


def write_listener(
    folder: Path,
    *,
    multilingual: bool = True,
    mels: int = 80,
    seconds: int = 2,
    dtype: torch.dtype = torch.float32,
    **generation: Any,
) -> None:
    """A Whisper with windows of so many ``seconds``, and tokens in the published one's order. ``generation``: what differs in
    its generation_config.json; None for what it lacks."""
    torch.manual_seed(11)
    folder.mkdir(parents=True)
    ids = write_byte_tokenizer(folder, multilingual=multilingual)
    WhisperFeatureExtractor(feature_size=mels, chunk_length=seconds).save_pretrained(folder)
    end, start, plain = (ids[f"<|{name}|>"] for name in ("endoftext", "startoftranscript", "notimestamps"))
    layers = {f"{part}_{what}": count for part in ("encoder", "decoder") for what, count in LAYERS.items()}
    special = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    positions = {"max_source_positions": 50 * seconds, "max_target_positions": 24}
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(ids),
            num_mel_bins=mels,
            d_model=32,
            init_std=0.5,
            suppress_tokens=None,
            begin_suppress_tokens=None,
            **layers,
            **special,
            **positions,
        )
    )
    with torch.no_grad():
        tokens = model.model.decoder.embed_tokens.weight
        tokens[end] = 1.05 * tokens[154]  # some texts end, where that would be written
    model.to(dtype).save_pretrained(folder)
    languages = {f"<|{code}|>": ids[f"<|{code}|>"] for code in LANGUAGES} if multilingual else None
    tasks = {name: ids[f"<|{name}|>"] for name in ("transcribe", "translate")} if multilingual else None
    document = {
        **special, "max_length": 24, "no_timestamps_token_id": plain, "is_multilingual": multilingual,
        "lang_to_id": languages, "task_to_id": tasks, "suppress_tokens": [40, 41, *range(end + 1, len(ids))],
        "begin_suppress_tokens": [32, end], "forced_decoder_ids": None if multilingual else [[1, plain]], **generation,
    }  # fmt: skip
    told = {name: value for name, value in document.items() if value is not None}
    (folder / "generation_config.json").write_text(json.dumps(told))


def write_byte_tokenizer(folder: Path, *, multilingual: bool) -> dict[str, int]:
    """Bytes, a few pairs of them, and Whisper's own tokens. The ids of all."""
    pieces = [*sorted(ByteLevel.alphabet()), "\u0120a", "he", "in"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    codes = LANGUAGES if multilingual else ()
    names = (
        "endoftext",
        "startoftranscript",
        *codes,
        "translate",
        "transcribe",
        "startofprev",
        "nospeech",
        "notimestamps",
    )
    merges = [("\u0120", "a"), ("h", "e"), ("i", "n")]
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=merges)
    tokenizer.add_special_tokens({"additional_special_tokens": [f"<|{name}|>" for name in names[1:]]})
    tokenizer.save_pretrained(folder)
    ids: dict[str, int] = tokenizer.get_vocab()
    return ids
