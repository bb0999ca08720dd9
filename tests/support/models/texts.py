"""Small checkpoints that read text, from a seed: every family of tokenizers, and settings of the published ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = [
    "A container starts warm.",
    "GRÖSSE, Größe, naïve CAFÉ, Łódź and cafe\u0301",
    "東京で始まる containers 很快 and 컨테이너",
    "warm 🙂 👩‍👩‍👧‍👦 start 👍🏽",
    "Its weights lie in [MASK] the image, </s> <mask> <|image|> and <x>marked</x> text.",
    "two  spaces , don't (stop) 12,345.67 snake_case https://example.org/a?b=c",
    "first",
    "The beginning " + "of the layer that is warm " * 40 + "and there the very end counts.",
]
CORPUS = [
    *TEXTS, "container image layer weights start warm compile graph first request", "Größe naïve café Łódź", "東京 很快 시작",
    "query: passage: the a of that is and there Its lie in", "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789",
]  # fmt: skip
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "initializer_range": 0.4,
}
_BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def word_pieces() -> tuple[Tokenizer, list[str]]:
    """Some whole words and all letters, each as it is written and in lower case, so that a setting of the normalizer decides
    which token it is. The library's own trainer would give another vocabulary each time."""
    corpus = [*CORPUS, *(text.lower() for text in CORPUS)]
    words, letters = _words_and_letters(corpus)
    pieces = [*_BERT, *words, *(form for letter in letters for form in (letter, f"##{letter}"))]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    ends = [(each, vocabulary[each]) for each in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer, list(vocabulary)


def _words_and_letters(corpus: Sequence[str]) -> tuple[list[str], list[str]]:
    """Every second word of letters alone, so that others are read by their letters; and every letter."""
    words = sorted({word for text in corpus for word in text.split() if word.isalpha()})
    return words[::2], sorted({letter for text in corpus for letter in text if not letter.isspace()})


def byte_pairs(special: Sequence[str] = _ROBERTA) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=450,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def unigram() -> Tokenizer:
    words, letters = _words_and_letters(CORPUS)
    pieces = dict.fromkeys([*(f"\u2581{word}" for word in words), "\u2581", *letters])
    scored = [(piece, -3.0 - 0.05 * index) for index, piece in enumerate(pieces)]
    special = [(each, 0.0) for each in ("<s>", "<pad>", "</s>", "<unk>")]
    tokenizer = Tokenizer(models.Unigram([*special, *scored], unk_id=3, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


_NAMES = {
    "bert": {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"},
    "roberta": {
        "bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>",
        "unk_token": "<unk>", "mask_token": "<mask>",
    },
    "qwen": {"pad_token": "<|end|>", "eos_token": "<|end|>"},
}  # fmt: skip


def write_tokenizer(folder: Path, family: str, **settings: Any) -> int:
    """``tokenizer.json``, ``tokenizer_config.json`` as published ones are: with the class, and ``settings`` that the file does
    not say. The number of ids."""
    folder.mkdir(parents=True, exist_ok=True)
    names = _NAMES.get(family, _NAMES["roberta"])
    if family == "bert":
        tokenizer, _ = word_pieces()
    elif family == "xlm":
        tokenizer = unigram()
    else:
        tokenizer = byte_pairs(["<|end|>", "<|image|>"] if family == "qwen" else _ROBERTA)
    if family in ("roberta", "xlm"):
        ends = [(each, tokenizer.token_to_id(each)) for each in ("<s>", "</s>")]
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    if family == "qwen":
        end = [("<|end|>", tokenizer.token_to_id("<|end|>"))]
        tokenizer.post_processor = processors.TemplateProcessing(single="$A <|end|>", special_tokens=end)
    tokenizer.save(str(folder / "tokenizer.json"))
    classes = {"bert": "BertTokenizer", "roberta": "RobertaTokenizer", "xlm": "XLMRobertaTokenizer"}
    document = {"tokenizer_class": classes.get(family, "PreTrainedTokenizerFast"), **names, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(document))
    ids: dict[str, int] = transformers.AutoTokenizer.from_pretrained(folder).get_vocab()
    return max(ids.values()) + 1


def write_network(folder: Path, kind: str, ids: int, **config: Any) -> None:
    """A network of the class ``kind``, such as BertModel, with random weights that tell texts apart."""
    torch.manual_seed(7)
    network = getattr(transformers, kind)
    sizes: dict[str, Any] = {"vocab_size": ids, **SIZES, **config}
    made = network(network.config_class(**sizes))
    made.save_pretrained(folder)


Module = tuple[str, Mapping[str, Any]]


def write_modules(
    folder: Path, *modules: Module, settings: Mapping[str, Any] | None = None, **transformer: Any
) -> None:
    """``modules.json`` with a Transformer and these modules by their configuration; Dense and others with random weights.
    ``settings`` of config_sentence_transformers.json, ``transformer`` those of sentence_bert_config.json."""
    import sentence_transformers.sentence_transformer.modules as kinds

    named = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for index, (kind, config) in enumerate(modules, start=1):
        path = f"{index}_{kind}"
        named.append({"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"})
        (folder / path).mkdir()
        if kind in ("Dense", "LayerNorm", "WeightedLayerPooling"):
            torch.manual_seed(index)
            module = getattr(kinds, kind)(**config)
            for parameter in module.parameters():
                torch.nn.init.normal_(parameter, std=0.5)
            module.save(str(folder / path))
        else:
            (folder / path / "config.json").write_text(json.dumps(config))
    (folder / "modules.json").write_text(json.dumps(named))
    if transformer:
        (folder / "sentence_bert_config.json").write_text(json.dumps(transformer))
    if settings:
        (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))


def write_vocabulary(folder: Path, **settings: Any) -> int:
    """``vocab.txt`` without a ``tokenizer.json``, as old checkpoints have it. The number of ids."""
    _, words = word_pieces()
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", **settings}))
    return len(words)


def write_text_model(
    folder: Path,
    tokenizer: Mapping[str, Any],
    network: Mapping[str, Any],
    modules: Sequence[Module] = (),
    settings: Mapping[str, Any] | None = None,
    transformer: Mapping[str, Any] | None = None,
) -> None:
    """A whole checkpoint, by the parameters of ``write_tokenizer`` (or of ``write_vocabulary``, if ``family`` is `vocabulary`),
    ``write_network`` and, with modules, ``write_modules``."""
    own = {**tokenizer}
    family = own.pop("family")
    ids = write_vocabulary(folder, **own) if family == "vocabulary" else write_tokenizer(folder, family, **own)
    write_network(folder, ids=ids, **network)
    if modules:
        write_modules(folder, *modules, settings=settings, **(transformer or {}))
