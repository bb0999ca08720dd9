"""``prebake verify``: the image that was built passes; copies that somebody had hands on do not, and are told all of it."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from dataclasses import replace
from typing import Any

import pytest
import zstandard

from prebake.documents.canonical import seal
from prebake.documents.manifest.schema import SCHEMA
from prebake.oci.blobs.blobs import GZIP, INDEX, ZSTD, data_blob, document_blob, read_all
from prebake.oci.registry.repository import Repository
from prebake.workflow.layers.remote_image import ImageDiffers
from tests.support.commands.projects import Project, read_lock
from tests.support.registries.pushed_copies import (
    PUBLISHED,
    WEIGHTS,
    Copy,
    Pushed,
    flipped,
    plain,
    read_files,
    tar_like_ours,
)


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


def test_an_image_of_an_older_prebake_is_named_as_that_and_not_compared(pushed: Pushed, repository: Repository) -> None:
    def make_older(files: dict[str, bytes]) -> None:
        manifest = json.loads(files["models/manifest.json"])
        files["models/manifest.json"] = seal({**manifest, "schema": SCHEMA - 1})

    Copy.of(repository).changed("graphs", make_older).push(repository, "older")
    faults = [line for line in pushed.faults("older").partition("  next:")[0].splitlines() if line.startswith("  /")]
    (fault,) = faults
    assert f"/models/manifest.json: was written by an older Prebake: schema {SCHEMA - 1};" in fault


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
    assert "contains /etc/passwd, which does not belong there" in text
    assert re.search(rf"/{WEIGHTS}: is in several layers: \d+, \d+", text)


def test_a_missing_layer_is_named_with_what_went_with_it(pushed: Pushed, repository: Repository) -> None:
    copy = Copy.of(repository)
    number = copy.index(PUBLISHED)
    without = replace(copy, layers=copy.layers[:number] + copy.layers[number + 1 :])
    without.push(repository, "short")
    text = pushed.faults("short")
    count = len(copy.layers)
    assert f"layers: claimed {count} by the config's diff_ids, found {count - 1} in the manifest" in text
    assert f"layers: no layer has the diff_id {copy.config['rootfs']['diff_ids'][number]}" in text
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
        "layers: claimed base, dependencies, first/model.safetensors, second (derived), graphs, code, found base, dependencies"
        in text
    )
    assert "/models/manifest.json: is missing" in text


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
    assert "contains /models, which does not belong there" in text
    assert "/app/link.py: is listed by neither" in text
    assert "opt/prebake/.wh.numpy (an invalid file name)" in text


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
    assert re.search(rf"layer {count - 2} \(unknown\): .*{added[0].digest} does not match its digest", text)
    assert f"layer {count - 1} (unknown): is missing at the registry" in text
    assert re.search(rf"layer {count} \(unknown\): cannot be unpacked", text)


def test_a_blob_longer_than_the_manifest_says_is_found(pushed: Pushed, repository: Repository) -> None:
    copy = Copy.of(repository)
    last = copy.layers[-1]
    shorter = replace(last, descriptor=replace(last.descriptor, size=last.size - 1))
    replace(copy, layers=(*copy.layers[:-1], shorter)).push(repository, "sizes")
    text = pushed.faults("sizes")
    assert f"the blob {last.digest} does not match its digest: there are more than {last.size - 1} bytes" in text


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


def test_a_blob_shorter_than_the_manifest_says_is_found_without_waiting_for_the_rest(
    pushed: Pushed, repository: Repository
) -> None:
    copy = Copy.of(repository)
    last = copy.layers[-1]
    longer = replace(last, descriptor=replace(last.descriptor, size=last.size + 1))
    replace(copy, layers=(*copy.layers[:-1], longer)).push(repository, "cut")
    text = pushed.faults("cut")
    assert f"claimed {last.size + 1} bytes, found {last.size}" in text
    assert "trying again" not in text
