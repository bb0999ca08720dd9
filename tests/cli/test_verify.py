"""``prebake verify``: the image that was built passes; copies that somebody had hands on do not, and are told all of it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from prebake.engine.base import Base
from prebake.oci.blobs import (
    CONFIG,
    GZIP,
    INDEX,
    MANIFEST,
    ZSTD,
    Blob,
    Descriptor,
    Image,
    data_blob,
    document_blob,
    read_all,
)
from prebake.oci.content import Data
from prebake.oci.download import remote_blob
from prebake.oci.push import push_image
from prebake.oci.reference import parse_reference
from prebake.oci.referrers import list_referrers
from prebake.oci.registry import Repository
from prebake.plan.making import make_plan
from prebake.plan.values import Options
from prebake.spec.project import read_project
from prebake.workflow.attesting import Built as Attested
from prebake.workflow.attesting import attest
from prebake.workflow.found_image import ImageDiffers
from tests.projects import Built, Ended, Project, read_lock
from tests.registry import running_registry

PUBLISHED = "first/model.safetensors"
WEIGHTS = f"models/{PUBLISHED}"
BUILDER = "https://builder.example/1"


@dataclass(frozen=True)
class Pushed:
    """The toy at a registry, by the real command; ``storage`` is the registry's folder."""

    built: Built
    name: str
    storage: Path

    def verify(self, tag: str, *words: str) -> Ended:
        return self.built.project.run("verify", f"{self.name}:{tag}", "--model", "toy", *words)

    def faults(self, tag: str) -> str:
        """What verify says of a copy that it must not pass."""
        ended = self.verify(tag).expect(ImageDiffers.exit_code)
        assert ended.stdout == ""
        assert "Traceback" not in ended.stderr
        return ended.stderr

    def blob_path(self, digest: str) -> Path:
        value = digest.removeprefix("sha256:")
        return self.storage / "blobs/docker/registry/v2/blobs/sha256" / value[:2] / value / "data"


@pytest.fixture(scope="module")
def pushed(toy: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushed]:
    folder = tmp_path_factory.mktemp("registry")
    with running_registry(folder) as address:
        name = f"{address}/models/toy"
        words = ("--model", "toy", "--tag", toy.tag, "--output", f"registry:{name}:v1")
        toy.project.run(*words, PREBAKE_BUILDER=BUILDER).expect(0)
        yield Pushed(toy, name, folder)


@pytest.fixture(scope="module")
def repository(pushed: Pushed) -> Iterator[Repository]:
    with closing(Repository(parse_reference(f"{pushed.name}:v1"))) as repository:
        yield repository


@dataclass(frozen=True)
class Copy:
    """An image in pieces, to be changed: the config's document, and layers by what the history calls them."""

    config: dict[str, Any]
    layers: tuple[Blob, ...]

    @classmethod
    def of(cls, repository: Repository, tag: str = "v1") -> Copy:
        found = repository.get_manifest(tag)
        assert found is not None
        manifest = json.loads(found[1])
        config = json.loads(read_all(remote_blob(repository, Descriptor.read(manifest["config"]))))
        return cls(config, tuple(remote_blob(repository, Descriptor.read(each)) for each in manifest["layers"]))

    def index(self, name: str) -> int:
        (found,) = [n for n, each in enumerate(self.config["history"]) if each["created_by"] == f"prebake: {name}"]
        return found

    def changed(self, name: str, change: Callable[[dict[str, bytes]], object]) -> Copy:
        """One layer's files changed, under digests that are right for the new bytes."""
        number = self.index(name)
        files = read_files(self.layers[number])
        change(files)
        return self.replaced(number, tar_like_ours(files))

    def replaced(self, number: int, tar: bytes) -> Copy:
        self.config["rootfs"]["diff_ids"][number] = sha256(tar)
        layers = list(self.layers)
        layers[number] = data_blob(ZSTD, zstandard.compress(tar))
        return replace(self, layers=tuple(layers))

    def push(self, repository: Repository, tag: str) -> Image:
        config = document_blob(CONFIG, self.config)
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor.document(),
            "layers": [layer.descriptor.document() for layer in self.layers],
        }
        image = Image(document_blob(MANIFEST, document), config, self.layers)
        push_image(repository, image, tag)
        return image


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def plain(layer: Blob) -> bytes:
    data = read_all(layer)
    if layer.descriptor.media_type == ZSTD:
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read()
    return gzip.decompress(data) if layer.descriptor.media_type == GZIP else data


def read_files(layer: Blob) -> dict[str, bytes]:
    found = {}
    with tarfile.open(fileobj=io.BytesIO(plain(layer))) as tar:
        for info in tar:
            if (file := tar.extractfile(info)) is not None:
                found[info.name.lstrip("./")] = file.read()
    return found


def tar_like_ours(files: Mapping[str, bytes], mode: int = 0o444) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, data in sorted(files.items()):
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(data), mode
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def test_the_image_that_was_built_is_verified_layer_by_layer(pushed: Pushed) -> None:
    ended = pushed.verify("v1").expect(0)
    digest = pushed.built.report["digest"]
    first, *layers, last = ended.stdout.splitlines()
    assert (first, last) == (f"image {pushed.name}@{digest}", "verified")
    blobs = [layer["digest"] for layer in pushed.built.report["layers"]]
    assert [line.split()[-1] for line in layers] == blobs
    document = json.loads(pushed.verify("v1", "--json").expect(0).stdout)
    assert [layer["digest"] for layer in document["layers"]] == blobs
    assert [layer["diff_id"] for layer in document["layers"]] == [
        layer["diff_id"] for layer in pushed.built.report["layers"]
    ]
    assert document["image"] == f"{pushed.name}@{digest}"


def test_an_image_can_be_named_by_its_digest_and_checked_from_another_clone(pushed: Pushed, project: Project) -> None:
    reference = f"{pushed.name}@{pushed.built.report['digest']}"
    project.run("verify", reference, "--model", "toy").expect(0)
    model = project.root / "images" / "toy" / "model.py"
    model.write_text(model.read_text() + "\n# changed\n")
    text = project.run("verify", reference, "--model", "toy").expect(ImageDiffers.exit_code).stderr
    assert "/app/images/toy/model.py" in text
    assert "by this checkout" in text


def test_layers_that_a_registry_or_a_mirror_packed_otherwise_are_the_same_layers(
    pushed: Pushed, repository: Repository
) -> None:
    copy = Copy.of(repository)
    layers = [data_blob(GZIP, gzip.compress(plain(layer), 1)) for layer in copy.layers[-3:]]
    replace(copy, layers=(*copy.layers[:-3], *layers)).push(repository, "gzip")
    pushed.verify("gzip").expect(0)


def test_a_changed_weight_file_is_found_though_every_digest_is_right(pushed: Pushed, repository: Repository) -> None:
    copy = Copy.of(repository)
    copy.changed(PUBLISHED, lambda files: files.update({WEIGHTS: flipped(files[WEIGHTS])})).push(repository, "changed")
    (locked,) = [file for file in read_lock(pushed.built.project).checkpoints["small"].files if file.ship]
    text = pushed.faults("changed")
    assert re.search(rf"/{WEIGHTS} in layer \d+: claimed {locked.sha256}, .* by the lock, found [0-9a-f]{{64}}", text)
    assert len(re.findall(r"^  \S", text.partition("  next:")[0], re.MULTILINE)) == 2  # by the lock, by the manifest


def test_files_that_nobody_listed_are_found_wherever_they_were_put(pushed: Pushed, repository: Repository) -> None:
    more = {
        "models/first/more.safetensors": b"weights",
        "app/more.py": b"import os",
        "app/__pycache__/gone.cpython-311.pyc": b"code",
        "etc/passwd": b"root::0:0::/:/bin/sh",
        WEIGHTS: b"others",
    }
    Copy.of(repository).changed("code", lambda files: files.update(more)).push(repository, "more")
    text = pushed.faults("more")
    for path in ("models/first/more.safetensors", "app/more.py", "app/__pycache__/gone.cpython-311.pyc"):
        assert f"/{path}: is listed by neither" in text
    assert "holds /etc/passwd, which has no place in it" in text
    assert re.search(rf"/{WEIGHTS}: lies in the layers \d+, \d+", text)


def test_a_missing_layer_is_named_with_what_went_with_it(pushed: Pushed, repository: Repository) -> None:
    copy = Copy.of(repository)
    number = copy.index(PUBLISHED)
    without = replace(copy, layers=copy.layers[:number] + copy.layers[number + 1 :])
    without.push(repository, "short")
    text = pushed.faults("short")
    count = len(copy.layers)
    assert f"layers: claimed {count} by the config's diff_ids, found {count - 1} in the manifest" in text
    assert f"layers: none has the diff_id {copy.config['rootfs']['diff_ids'][number]}" in text
    assert re.search(rf"/{WEIGHTS}: claimed [0-9a-f]{{64}} by the lock, found no such file", text)


def test_a_layer_taken_out_of_config_and_history_too_is_missed_all_the_same(
    pushed: Pushed, repository: Repository
) -> None:
    copy = Copy.of(repository)
    number = copy.index("graphs")
    for listed in (copy.config["rootfs"]["diff_ids"], copy.config["history"]):
        del listed[number]
    replace(copy, layers=copy.layers[:number] + copy.layers[number + 1 :]).push(repository, "shorter")
    text = pushed.faults("shorter")
    assert (
        "layers: claimed base, packages, first/model.safetensors, second (derived), graphs, code, found base, packages"
        in text
    )
    assert "/models/manifest.json: is not there" in text


def test_another_configuration_is_found_and_everything_else_in_the_same_run(
    pushed: Pushed, repository: Repository
) -> None:
    copy = Copy.of(repository).changed("code", lambda files: files.pop("app/entrypoints/serve.py"))
    config = copy.config["config"]
    config["Env"] = [each for each in config["Env"] if not each.startswith("PREBAKE_MODELS=")]
    config["Env"] += ["PREBAKE_MODELS=/elsewhere", "LD_PRELOAD=/tmp/x.so", "PYTHONPATH=/tmp"]
    config["User"], config["Entrypoint"], config["Cmd"] = "0", ["/bin/sh"], ["-c", "true"]
    config["Labels"]["org.opencontainers.image.base.digest"] = "sha256:" + "0" * 64
    copy.config["rootfs"]["diff_ids"][0] = "sha256:" + "1" * 64
    copy.push(repository, "otherwise")
    text = pushed.faults("otherwise")
    base = read_lock(pushed.built.project).base.digest
    for fault in (
        "config User: claimed 65532:65532, found 0",
        "config Entrypoint: claimed ['python3', '-S', '-m', 'entrypoints.serve'], found ['/bin/sh']",
        "config Cmd: claimed None, found ['-c', 'true']",
        "config Env LD_PRELOAD: claimed [], found ['/tmp/x.so']",
        "config Env PREBAKE_MODELS: claimed ['/models'], found ['/elsewhere']",
        "config Env PYTHONPATH: claimed ['/app:/opt/prebake'], found ['/app:/opt/prebake', '/tmp']",
        f"config label org.opencontainers.image.base.digest: claimed {base}, found sha256:0000",
        f"layer 1 (base) diff_id: claimed sha256:{'1' * 64}, found sha256:",
        "/app/entrypoints/serve.py: claimed",
    ):
        assert fault in text, fault


def test_members_that_are_not_as_ours_are_counted_and_some_named(pushed: Pushed, repository: Repository) -> None:
    copy = Copy.of(repository)
    number = copy.index(PUBLISHED)
    copy.replaced(number, tar_like_ours(read_files(copy.layers[number]), mode=0o644)).push(repository, "modes")
    text = pushed.faults("modes")
    assert f"{WEIGHTS} (mode claimed 0444 or 0555, found 0644)" in text


def test_links_and_whiteouts_in_the_place_of_ours_are_found(pushed: Pushed, repository: Repository) -> None:
    copy = Copy.of(repository)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, target in (("models", "/tmp"), ("app/link.py", "/tmp/x.py")):
            link = tarfile.TarInfo(path)
            link.type, link.linkname, link.mode = tarfile.SYMTYPE, target, 0o777
            tar.addfile(link)
        tar.addfile(tarfile.TarInfo("opt/prebake/.wh.numpy"))
    copy.replaced(copy.index("code"), packed.getvalue()).push(repository, "links")
    text = pushed.faults("links")
    assert "holds /models, which has no place in it" in text
    assert "/app/link.py: is listed by neither" in text
    assert "opt/prebake/.wh.numpy (a name that no file has)" in text


def test_blobs_that_a_registry_damaged_or_lost_are_found_together(pushed: Pushed, repository: Repository) -> None:
    copy = Copy.of(repository)
    files = [{f"models/{name}": name.encode() * 1000} for name in ("damaged", "lost", "cut")]
    added = [data_blob(ZSTD, zstandard.compress(tar_like_ours(each))) for each in files]
    cut = data_blob(ZSTD, read_all(added[2])[:-20])
    image = replace(copy, layers=(*copy.layers, *added[:2], cut)).push(repository, "damaged")
    damaged, lost = (pushed.blob_path(each.digest) for each in added[:2])
    damaged.write_bytes(flipped(damaged.read_bytes()))
    lost.unlink()
    count = len(image.layers)
    text = pushed.faults("damaged")
    assert re.search(rf"layer {count - 2} \(unknown\): .*{added[0].digest} is not what its digest says", text)
    assert f"layer {count - 1} (unknown): is not there" in text
    assert re.search(rf"layer {count} \(unknown\): cannot be unpacked", text)


def test_a_blob_longer_than_the_manifest_says_is_found(pushed: Pushed, repository: Repository) -> None:
    copy = Copy.of(repository)
    last = copy.layers[-1]
    shorter = replace(last, descriptor=replace(last.descriptor, size=last.size - 1))
    replace(copy, layers=(*copy.layers[:-1], shorter)).push(repository, "sizes")
    text = pushed.faults("sizes")
    assert f"the blob {last.digest} is not what its digest says: there are more than {last.size - 1} bytes" in text


@pytest.mark.parametrize("config", [[], {"rootfs": {}}, {"rootfs": {"diff_ids": []}, "history": [1], "config": {}}])
def test_a_config_that_is_none_is_a_difference_like_others(pushed: Pushed, repository: Repository, config: Any) -> None:
    replace(Copy.of(repository), config=config).push(repository, "config")
    text = pushed.faults("config")
    assert "config: claimed an image's config, found something else" in text
    assert "layers: claimed 0 by the config's diff_ids" in text


def test_a_manifest_that_is_no_images_is_refused(pushed: Pushed, repository: Repository) -> None:
    found = repository.get_manifest("v1")
    assert found is not None
    index = document_blob(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [found[0].document()]})
    repository.put_manifest("index", INDEX, read_all(index))
    assert "manifest: claimed an image's manifest, found application/vnd.oci.image.index" in pushed.faults("index")
    assert "has no nowhere" in pushed.verify("nowhere").expect(60).stderr


@pytest.fixture(scope="module")
def documents(pushed: Pushed, base: Base, repository: Repository) -> dict[str, Any]:
    """Both documents, attached to the image and read back from the registry, by their types."""
    attest(repository, attested(pushed, base, repository))
    found = {}
    for each in list_referrers(repository, pushed.built.report["digest"]):
        manifest = repository.get_manifest(each.descriptor.digest)
        assert manifest is not None
        (layer,) = json.loads(manifest[1])["layers"]
        assert json.loads(manifest[1])["subject"]["digest"] == pushed.built.report["digest"]
        found[each.artifact_type] = json.loads(read_all(remote_blob(repository, Descriptor.read(layer))))
    return found


def attested(pushed: Pushed, base: Base, repository: Repository) -> Attested:
    project = read_project(pushed.built.project.root, "toy")
    found = repository.get_manifest("v1")
    assert found is not None
    layers = Copy.of(repository).layers
    image = Image(Blob(found[0], Data(found[1])), layers[0], layers)
    return Attested(make_plan(project, Options()), image, base, project.requirements["cpu"], "auto", BUILDER)


def test_the_bill_lists_every_package_that_pip_would_see(documents: dict[str, Any], repository: Repository) -> None:
    copy = Copy.of(repository)
    names = read_files(copy.layers[copy.index("packages")])
    seen = {
        (re.sub(r"[-_.]+", "-", found[1]).lower(), found[2])
        for found in (re.fullmatch(r"opt/prebake/([^/]+)-([^-/]+)\.dist-info/METADATA", name) for name in names)
        if found
    }
    bill = documents["application/vnd.cyclonedx+json"]
    listed = {
        (re.sub(r"[-_.]+", "-", each["name"]).lower(), each["version"])
        for each in bill["components"]
        if each["type"] == "library"
    }
    assert seen
    assert listed == seen


def test_the_bill_lists_every_file_below_models_with_its_bytes_digest(
    documents: dict[str, Any], repository: Repository
) -> None:
    placed = {
        f"/{path}": hashlib.sha256(data).hexdigest()
        for layer in Copy.of(repository).layers[-4:]
        for path, data in read_files(layer).items()
        if path.startswith("models/") and path != "models/manifest.json"
    }
    bill = documents["application/vnd.cyclonedx+json"]
    files = [each for each in bill["components"] if each["type"] in ("data", "machine-learning-model")]
    assert {each["bom-ref"]: each["hashes"][0]["content"] for each in files} == placed
    assert f"/{WEIGHTS}" in placed
    (weights,) = [each for each in files if each["bom-ref"] == f"/{WEIGHTS}"]
    assert weights["licenses"] == [{"license": {"id": "CC0-1.0"}}]


def test_the_statement_is_about_the_image_and_names_every_file_of_the_checkpoint(
    pushed: Pushed, documents: dict[str, Any]
) -> None:
    statement = documents["application/vnd.in-toto+json"]
    assert statement["subject"][0]["digest"] == {"sha256": pushed.built.report["digest"].removeprefix("sha256:")}
    dependencies = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    locked = {file.sha256 for file in read_lock(pushed.built.project).checkpoints["small"].files}
    assert locked < {each["digest"]["sha256"] for each in dependencies}
    assert statement["predicate"]["runDetails"]["builder"] == {"id": BUILDER}


def test_attaching_the_same_documents_again_adds_nothing(
    pushed: Pushed, documents: dict[str, Any], base: Base, repository: Repository
) -> None:
    def stored() -> set[Path]:
        return {path for path in (pushed.storage / "blobs").rglob("*") if path.is_file()}

    before, listed = stored(), list_referrers(repository, pushed.built.report["digest"])
    attest(repository, attested(pushed, base, repository))
    assert stored() == before
    assert list_referrers(repository, pushed.built.report["digest"]) == listed
    assert len(listed) == len(documents) == 2
    pushed.verify("v1").expect(0)
