"""all-MiniLM-L6-v2 as served: sentences to unit vectors of 384 numbers, by ONNX Runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from entrypoints.contract import Answer, Batch, Cancellation, Cancelled, Components, Field
from images.minilm.texts import FIELDS, count_sentences, read_sentences, write_answer

RUN = 32  # sentences of one run; between runs a request can be cancelled
PADDING = 32  # tokens of padding that cost about as much as a further run


class MiniLm:
    """Tokens, mask and one graph: the mean over tokens and the normalization are part of it."""

    batch = Batch(size=RUN, wait=0.005, measure=count_sentences)

    def __init__(self, components: Components) -> None:
        self._components = components
        self._tokenizer = open_tokenizer(
            components.path("minilm/tokenizer.json"), components.path("minilm/sentence_bert_config.json")
        )

    @property
    def fields(self) -> Sequence[Field]:
        return FIELDS

    def generate(self, form: Mapping[str, object], cancelled: Cancellation) -> Answer:
        """The embeddings of the form's sentences. Raises BadRequest, and Cancelled between two runs."""
        (answer,) = self.generate_batch([form], [cancelled])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def generate_batch(
        self, forms: Sequence[Mapping[str, object]], cancelled: Sequence[Cancellation]
    ) -> list[Answer | Exception]:
        """The embeddings of each form. Sentences of all forms share runs. Raises BadRequest for the first wrong form."""
        texts = [read_sentences(form) for form in forms]
        owners = [number for number, sentences in enumerate(texts) for _ in sentences]
        inputs = to_arrays(self._tokenizer.encode_batch([sentence for sentences in texts for sentence in sentences]))
        rows: list[list[npt.NDArray[np.float32]]] = [[] for _ in forms]
        found = dict(self._embed(inputs, owners, cancelled))
        for number, owner in enumerate(owners):
            if number in found:
                rows[owner].append(found[number])
        return [
            write_answer(np.stack(each)) if len(each) == len(sentences) else Cancelled()
            for each, sentences in zip(rows, texts, strict=True)
        ]

    def _embed(
        self, inputs: Mapping[str, npt.NDArray[np.int64]], owners: Sequence[int], cancelled: Sequence[Cancellation]
    ) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        """Sentences by their number, each with its embedding [384]; not those of forms that were cancelled before their run."""
        lengths = inputs["attention_mask"].sum(axis=1)
        for run in split_runs(lengths.tolist()):
            stopped = {owner for owner in {owners[number] for number in run} if cancelled[owner]()}
            if wanted := [number for number in run if owners[number] not in stopped]:
                longest = lengths[wanted].max()
                padded = {name: array[wanted, :longest] for name, array in inputs.items()}
                yield from zip(wanted, self._components.session("minilm").run(padded)["embeddings"], strict=True)


def create(components: Components) -> MiniLm:
    """The server's entry."""
    return MiniLm(components)


def split_runs(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The numbers of sentences that run together, longest first. ``lengths`` in tokens: a run is padded to its longest sentence,
    and a further run costs less than much padding."""
    run: list[int] = []
    padding = 0
    for number in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        padding += lengths[run[0]] - lengths[number] if run else 0
        if len(run) == RUN or padding > PADDING:
            yield run
            run, padding = [], 0
        run.append(number)
    yield run


def open_tokenizer(path: Path, config: Path) -> Tokenizer:
    """The published tokenizer. Its truncation and padding are those of the training, so the configuration replaces them."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(json.loads(config.read_bytes())["max_seq_length"])
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id("[PAD]"), pad_token="[PAD]")  # noqa: S106
    return tokenizer


def to_arrays(encodings: Sequence[Encoding]) -> dict[str, npt.NDArray[np.int64]]:
    """The graph's inputs [sentences, tokens], for sentences that are padded to one length."""
    return {
        "input_ids": np.array([each.ids for each in encodings], dtype=np.int64),
        "attention_mask": np.array([each.attention_mask for each in encodings], dtype=np.int64),
    }
