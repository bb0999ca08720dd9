"""The tasks that a transformers folder may be for, told by its architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prebake.workflow.beginnings import listeners, pictures, sentences, sounds, texts
from prebake.workflow.beginnings.facts import Facts
from prebake.workflow.beginnings.folder import Folder


@dataclass(frozen=True)
class Task:
    """``suffix`` of the architectures; ``templates`` of its code, a folder of ``templates/init``; ``packages`` that serving
    needs, a file of ``templates/requirements``; ``modules`` of the image that the stages share with the server, the first of
    which tells its fields and its answer; ``graphs`` over the one folder of weights, where there are several."""

    suffix: str
    templates: str
    packages: str
    modules: tuple[str, ...]
    read: Callable[[Folder, Mapping[str, Any]], Facts]
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


EMBEDDINGS = Task("Model", "feature_extraction", "cpu-text", ("texts.py", "tokens.py"), sentences.read_encoder)

TASKS = (
    Task(
        "ForSequenceClassification", "text_classification", "cpu-text", ("texts.py", "tokens.py"), texts.read_classifier
    ),
    Task("ForTokenClassification", "token_classification", "cpu-text", ("texts.py", "tokens.py"), texts.read_tagger),
    Task("ForImageClassification", "image_classification", "cpu-image", ("pictures.py",), pictures.read_classifier),
    Task("ForCTC", "speech_recognition", "cpu-sound", ("letters.py", "sound.py"), sounds.read_recogniser),
    Task(
        "WhisperForConditionalGeneration",
        "speech_to_text",
        "cpu-speech",
        ("speech.py", "sound.py", "spectrum.py"),
        listeners.read_listener,
        ("encoder", "decoder"),
    ),
    EMBEDDINGS,
)

# They end in Model, and are none that encodes text.
_HEADS = ("LMHeadModel", "DoubleHeadsModel", "VisionModel", "PreTrainedModel")


def find_task(architecture: str) -> Task | None:
    """The task of ``BertForSequenceClassification`` and its like; None for a model of any other head."""
    if architecture.endswith(_HEADS):
        return None
    return next((task for task in TASKS if architecture.endswith(task.suffix)), None)
