"""Modules that are not baked are named, and answers or tokens that are not the framework's fail the build.

``cases/embeddings`` has the settings that init or the export refuses.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from prebake.bake.errors import BakeError, ParityFailed
from prebake.errors import PrebakeError
from prebake.workflow.init.recognizers.recognizer import InitRefused
from tests.support.collection.sampled import sampled
from tests.support.commands.projects import Project, clone
from tests.support.models import pretrained
from tests.support.models.generated import bake, importable
from tests.support.models.texts import write_modules, write_network, write_tokenizer

POOL = {"word_embedding_dimension": 32, "pooling_mode": "mean"}
_number = iter(range(1000))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = clone(tmp_path_factory.mktemp("clone") / "project")
    with importable(project.root):
        yield project


@pytest.fixture
def folder(project: Project) -> Path:
    """A whole checkpoint of embeddings."""
    folder = project.root / "published" / f"mine{next(_number)}"
    ids = write_tokenizer(folder, "bert", model_max_length=40)
    write_network(folder, "BertModel", ids, max_position_embeddings=64)
    write_modules(folder, ("Pooling", POOL), ("Normalize", {}), max_seq_length=32)
    return folder


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **values}))


def refused(project: Project, folder: Path) -> str:
    ended = project.run("init", folder.name, "--from", str(folder)).expect(InitRefused.exit_code)
    assert not (project.root / "images" / folder.name).exists()
    return ended.stderr


def baked(project: Project, folder: Path, out: Path, kind: type[PrebakeError]) -> str:
    """What the export says of a folder that init takes."""
    if not (project.root / "images" / folder.name).exists():
        project.run("init", folder.name, "--from", str(folder)).expect(0)
    with pytest.raises(kind) as caught:
        bake(project, folder.name, out)
    return str(caught.value.message)


@pytest.mark.parametrize("kind", ["CNN", "LSTM", "BoW", "WordWeights", "StaticEmbedding", "Router", "custom"])
def test_a_module_that_is_not_baked_is_named(project: Project, folder: Path, kind: str) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[-1]["type"] = "custom_code.Normalize" if kind == "custom" else f"sentence_transformers.models.{kind}"
    (folder / "modules.json").write_text(json.dumps(modules))
    assert f"has the module {modules[-1]['type']}" in refused(project, folder)


CHANGES = {
    "side": ('**self.settings["truncation"]', '**{**self.settings["truncation"], "direction": "left"}'),
    "blanks": ("list(texts)", "[text.lower() for text in texts]"),
    "padding": ('**self.settings["padding"]', '**{**self.settings["padding"], "direction": "left"}'),
}


@pytest.mark.parametrize("change_of", list(CHANGES))
def test_tokens_that_are_not_the_frameworks_fail_the_build(
    project: Project, folder: Path, tmp_path: Path, change_of: str
) -> None:
    """The image's own code is compared, whoever wrote it."""
    change(folder / "tokenizer_config.json", do_lower_case=False)
    project.run("init", folder.name, "--from", str(folder)).expect(0)
    tokens = project.root / "images" / folder.name / "tokens.py"
    text = tokens.read_text()
    assert CHANGES[change_of][0] in text
    tokens.write_text(text.replace(*CHANGES[change_of]))
    said = baked(project, folder, tmp_path, ParityFailed)
    assert "The container's tokens of" in said
    assert ("of a padded batch" if change_of == "padding" else "the framework gives [") in said


def test_answers_that_are_not_the_frameworks_fail_the_build(project: Project, folder: Path, tmp_path: Path) -> None:
    project.run("init", folder.name, "--from", str(folder)).expect(0)
    texts = project.root / "images" / folder.name / "texts.py"
    texts.write_text(
        texts.read_text().replace("embeddings.astype(np.float32)", "np.abs(embeddings).astype(np.float32)")
    )
    model = project.root / "images" / folder.name / "model.py"
    model.write_text(model.read_text().replace('["embeddings"])', '["embeddings"] * 0.9)'))
    said = baked(project, folder, tmp_path, ParityFailed)
    assert "The served model's answers differ from the framework's" in said
    assert ".results[0]" in said


MEDIA: dict[str, tuple[Callable[[Path], None], str, str, str]] = {
    "pictures": (
        pretrained.write_image_classifier, "decoding.py", "resample=Image.Resampling(pixels.resample)",
        "resample=Image.Resampling.NEAREST",
    ),
    "sounds": (pretrained.write_recognizer, "letters.py", "for index, _ in groupby(best.tolist())", "for index in best.tolist()"),
    "speech": (pretrained.write_listener, "model.py", "scores[never] = -np.inf", "pass"),
}  # fmt: skip


@pytest.mark.parametrize("kind", sampled(MEDIA, "pictures"))
def test_pictures_and_sounds_are_compared_with_the_framework(project: Project, tmp_path: Path, kind: str) -> None:
    write, module, right, wrong = MEDIA[kind]
    folder = project.root / "published" / kind
    write(folder)
    project.run("init", kind, "--from", str(folder)).expect(0)
    code = project.root / "images" / kind / module
    assert right in code.read_text()
    code.write_text(code.read_text().replace(right, wrong))
    assert "The served model's answers differ from the framework's" in baked(project, folder, tmp_path, ParityFailed)


def test_weights_that_the_network_lacks_are_named(project: Project, folder: Path, tmp_path: Path) -> None:
    """SentenceTransformer itself would take random numbers for them."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    kept = {name: torch.clone(each) for name, each in tensors.items() if "layer.1.attention.self.query" not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    said = baked(project, folder, tmp_path, BakeError)
    assert "tensor encoder.layer.1.attention.self.query.weight is missing" in said
