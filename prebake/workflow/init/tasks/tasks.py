"""The supported tasks of transformers checkpoints, found by the model's architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prebake.workflow.init.checkpoint_folder import CheckpointFolder, TaskContents
from prebake.workflow.init.tasks import ctc, image_classification, sentence_embedding, text, whisper


@dataclass(frozen=True)
class Task:
    """One task.

    suffix: of the architectures' names. templates: a folder of ``templates/init``. packages: a file of
    ``templates/requirements``. modules: the image's modules that stages and server share; the first defines fields and answer.
    read: checks the checkpoint. graphs: the names of several graphs over one folder of weights; empty for one graph.
    """

    suffix: str
    templates: str
    packages: str
    modules: tuple[str, ...]
    read: Callable[[CheckpointFolder, Mapping[str, Any]], TaskContents]
    graphs: tuple[str, ...] = ()

    @property
    def serve(self) -> tuple[str, ...]:
        return ("model.py", *self.modules)

    @property
    def export(self) -> tuple[str, ...]:
        return ("export.py", "naive.py", "model.py", *self.modules)

    @property
    def code(self) -> tuple[str, ...]:
        return ("model.py", "export.py", "naive.py", *self.modules)


EMBEDDINGS = Task(
    "Model", "feature_extraction", "cpu-text", ("texts.py", "tokens.py"), sentence_embedding.read_sentence_encoder
)

TASKS = (
    Task(
        "ForSequenceClassification",
        "text_classification",
        "cpu-text",
        ("texts.py", "tokens.py"),
        text.read_text_classifier,
    ),
    Task(
        "ForTokenClassification",
        "token_classification",
        "cpu-text",
        ("texts.py", "tokens.py"),
        text.read_token_classifier,
    ),
    Task(
        "ForImageClassification",
        "image_classification",
        "cpu-image",
        ("pictures.py", "decoding.py"),
        image_classification.read_image_classifier,
    ),
    Task("ForCTC", "speech_recognition", "cpu-sound", ("letters.py", "sound.py", "decoding.py"), ctc.read_ctc_model),
    Task(
        "WhisperForConditionalGeneration",
        "speech_to_text",
        "cpu-speech",
        ("speech.py", "sound.py", "decoding.py", "spectrum.py"),
        whisper.read_whisper_model,
        ("encoder", "decoder"),
    ),
    EMBEDDINGS,
)

# Architectures that end in Model and encode no text.
_HEADS = ("LMHeadModel", "DoubleHeadsModel", "VisionModel", "PreTrainedModel")


def find_task(architecture: str) -> Task | None:
    """The task of an architecture such as ``BertForSequenceClassification``; None for any other head."""
    if architecture.endswith(_HEADS):
        return None
    return next((task for task in TASKS if architecture.endswith(task.suffix)), None)
