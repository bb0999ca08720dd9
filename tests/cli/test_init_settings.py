"""Settings of text models that decide the answer and are not baked: each is named, all at once, by init or by the export."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from prebake.bake.errors import BakeError, ParityFailed
from prebake.errors import PrebakeError
from prebake.workflow.beginnings.beginning import InitRefused
from tests import pretrained
from tests.generated import bake, importable
from tests.projects import Project, clone
from tests.texts import write_modules, write_network, write_tokenizer

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


def test_every_unknown_setting_is_named_at_once(project: Project, folder: Path) -> None:
    change(folder / "sentence_bert_config.json", query_length=16, token_weights="idf", processing_kwargs={"text": {"padding": 8}},
           modality_config={"message": {"method": "forward", "method_output_name": "last_hidden_state"}})  # fmt: skip
    change(folder / "1_Pooling/config.json", pooling_mode="attention", scale=2)
    change(folder / "config_sentence_transformers.json", prompts={"query": "q: "}, default_prompt_name="other",
           quantise="int8", model_type="SparseEncoder")  # fmt: skip
    said = refused(project, folder)
    for words in (
        "sentence_bert_config.json: query_length is 16", "token_weights is no setting of Transformer",
        'processing_kwargs is {"text"', 'modality_config is {"message"', "1_Pooling/config.json: pooling_mode is attention",
        "scale is no setting of Pooling", "default_prompt_name is other, which prompts lacks", "quantise is no setting",
        "model_type is SparseEncoder",
    ):  # fmt: skip
        assert words in said, said


@pytest.mark.parametrize("kind", ["CNN", "LSTM", "BoW", "WordWeights", "StaticEmbedding", "Router", "custom"])
def test_a_module_that_is_not_baked_is_named(project: Project, folder: Path, kind: str) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[-1]["type"] = "custom_code.Normalize" if kind == "custom" else f"sentence_transformers.models.{kind}"
    (folder / "modules.json").write_text(json.dumps(modules))
    assert f"has the module {modules[-1]['type']}" in refused(project, folder)


def test_a_checkpoint_of_static_embeddings_is_named(project: Project, tmp_path: Path) -> None:
    """It has no config.json of transformers."""
    kind = "sentence_transformers.models.StaticEmbedding"
    (tmp_path / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": kind}]))
    ended = project.run("init", "static", "--from", str(tmp_path)).expect(InitRefused.exit_code)
    assert f"has the module {kind}" in ended.stderr


def test_documents_that_are_not_read_without_modules_are_named(project: Project, folder: Path) -> None:
    (folder / "modules.json").unlink()
    said = refused(project, folder)
    assert "sentence_bert_config.json: is here, but modules.json is missing" in said
    assert "1_Pooling/config.json: is here" in said


def test_a_prompt_that_is_called_as_the_choice_of_none_is_named(project: Project, folder: Path) -> None:
    change(folder / "config_sentence_transformers.json", prompts={"no-prompt": "never: "})
    assert "prompts has one that is called no-prompt" in refused(project, folder)


def test_an_activation_that_is_not_torchs_is_named(project: Project, folder: Path) -> None:
    (folder / "3_Dense").mkdir()
    change(folder / "3_Dense/config.json", in_features=32, out_features=8, activation_function="mine.Swish")
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    assert "3_Dense/config.json: activation_function is mine.Swish" in refused(project, folder)


def test_a_tokenizer_that_cannot_be_baked_is_named_with_every_reason(
    project: Project, folder: Path, tmp_path: Path
) -> None:
    change(
        folder / "tokenizer_config.json", pad_token="<fill>", model_input_names=["input_ids", "attention_mask", "bbox"]
    )
    said = baked(project, folder, tmp_path, BakeError)
    assert "gives the network bbox" in said
    assert "the embedding has" in said


def test_a_tokenizer_without_padding_is_named(project: Project, tmp_path: Path) -> None:
    folder = project.root / "published/unpadded"
    ids = write_tokenizer(folder, "qwen", pad_token=None)
    write_network(folder, "GPT2ForSequenceClassification", ids, n_positions=64, pad_token_id=0)
    assert "has no pad_token" in baked(project, folder, tmp_path, BakeError)


def test_a_decoder_that_takes_no_batch_is_named(project: Project, tmp_path: Path) -> None:
    """transformers raises a ValueError for a second text if config.json has no padding token."""
    folder = project.root / "published/single"
    ids = write_tokenizer(folder, "qwen", model_max_length=48)
    heads = {"num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64}
    write_network(folder, "Qwen3ForSequenceClassification", ids, **heads)
    said = baked(project, folder, tmp_path, BakeError)
    assert "config.json: the network takes no batch of texts" in said
    assert "name a pad_token_id there" in said


def test_a_tokenizer_in_python_is_named(project: Project, folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("a\nb\n")
    change(folder / "tokenizer_config.json", tokenizer_class="BertJapaneseTokenizer", word_tokenizer_type="basic",
           subword_tokenizer_type="character")  # fmt: skip
    assert "has no fast form" in baked(project, folder, tmp_path, BakeError)


def test_a_chat_template_without_modules_is_named(project: Project, tmp_path: Path) -> None:
    folder = project.root / "published/chatting"
    ids = write_tokenizer(
        folder, "qwen", chat_template="{% for m in messages %}<|image|>{{ m['content'] }}{% endfor %}"
    )
    heads = {"num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 0}
    write_network(folder, "Qwen3Model", ids, **heads)
    assert "SentenceTransformer puts each text into it" in baked(project, folder, tmp_path, BakeError)


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
    assert ("of a padded batch" if change_of == "padding" else "the framework reads [") in said


def test_answers_that_are_not_the_frameworks_fail_the_build(project: Project, folder: Path, tmp_path: Path) -> None:
    project.run("init", folder.name, "--from", str(folder)).expect(0)
    texts = project.root / "images" / folder.name / "texts.py"
    texts.write_text(
        texts.read_text().replace("embeddings.astype(np.float32)", "np.abs(embeddings).astype(np.float32)")
    )
    model = project.root / "images" / folder.name / "model.py"
    model.write_text(model.read_text().replace('["embeddings"])', '["embeddings"] * 0.9)'))
    said = baked(project, folder, tmp_path, ParityFailed)
    assert "The image's answers are not the framework's" in said
    assert ".results[0]" in said


MEDIA: dict[str, tuple[Callable[[Path], None], str, str, str]] = {
    "pictures": (
        pretrained.write_image_classifier, "pictures.py", "resample=Image.Resampling(pixels.resample)",
        "resample=Image.Resampling.NEAREST",
    ),
    "sounds": (pretrained.write_recogniser, "letters.py", "for index, _ in groupby(best.tolist())", "for index in best.tolist()"),
    "speech": (pretrained.write_listener, "model.py", "scores[never] = -np.inf", "pass"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(MEDIA))
def test_pictures_and_sounds_are_compared_with_the_framework(project: Project, tmp_path: Path, kind: str) -> None:
    write, module, right, wrong = MEDIA[kind]
    folder = project.root / "published" / kind
    write(folder)
    project.run("init", kind, "--from", str(folder)).expect(0)
    code = project.root / "images" / kind / module
    assert right in code.read_text()
    code.write_text(code.read_text().replace(right, wrong))
    assert "The image's answers are not the framework's" in baked(project, folder, tmp_path, ParityFailed)


def test_weights_that_the_network_lacks_are_named(project: Project, folder: Path, tmp_path: Path) -> None:
    """SentenceTransformer itself would take random numbers for them."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    kept = {name: torch.clone(each) for name, each in tensors.items() if "layer.1.attention.self.query" not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    said = baked(project, folder, tmp_path, BakeError)
    assert "tensor encoder.layer.1.attention.self.query.weight is missing" in said
