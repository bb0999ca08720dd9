"""Every layer of a plan: taken from what is on record, made where it is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prebake.engine.base import Base, bootstrapped
from prebake.engine.connection import Connection
from prebake.engine.images import has_image, inspect_image
from prebake.engine.recipe import Recipe
from prebake.engine.saving import save_image
from prebake.engine.toolchain import toolchain_of
from prebake.oci.assembly import BaseImage
from prebake.oci.assembly import Layer as ImageLayer
from prebake.oci.records import FileRecord, LayerRecord
from prebake.oci.registry import Repository
from prebake.plan.compiled import layer_files
from prebake.plan.layers import model_folders
from prebake.plan.values import Layer, Plan, digest
from prebake.workflow.artifacts import other_artifacts, tell_artifacts
from prebake.workflow.baking import GPU_TARGETS, Oven, derived_of, known_files, of_models, read_stage_report
from prebake.workflow.builder import Builder
from prebake.workflow.known import (
    base_key,
    compiled_key,
    exported_key,
    joined_key,
    known_records,
    published_files,
    record_key,
)
from prebake.workflow.parts import Parts, keep_tree, media_type_of, split_files
from prebake.workflow.running import EXPORT, ON_DEVICE, InContainer
from prebake.workflow.steps import Tell


@dataclass(frozen=True)
class MadeLayer:
    """A layer of the plan, or a part of one, as it became."""

    planned: Layer
    record: LayerRecord
    layer: ImageLayer


@dataclass(frozen=True)
class Maker:
    """Makes the layers of one plan. ``fetch`` brings the checkpoint into the store, and is called if it has to be there.

    ``members`` make those of each of several models, as if it were alone.
    """

    plan: Plan
    connection: Connection
    base: Base
    builder: Builder
    parts: Parts
    fetch: Callable[[], None]
    tell: Tell
    members: tuple[Maker, ...] = ()

    def base_image(self) -> BaseImage:
        """The base's own layers, in the form that the Engine has them in, kept from the first time on."""
        records, store = self.parts.library.records, self.parts.store
        key = base_key(self.base)
        config, layers = records.files(digest([key, "config"])), records.layers(key)
        if config is None or layers is None or store.get(config[0].sha256) is None:
            config, layers = self._save_base(key)
        document = json.loads(store.place(config[0].sha256).read_bytes())
        return BaseImage(document, tuple(self.parts.layer(each, f"FROM {self.base.reference}") for each in layers))

    def layers(self) -> list[MadeLayer]:
        """In the order of the image."""
        made = [(planned, record) for planned in self.plan.layers for record in self._records(planned)]
        return [  # only now, as making one layer may have brought what another is made of
            MadeLayer(planned, record, self.parts.layer(record, f"prebake: {planned.name}", _annotations(planned)))
            for planned, record in made
        ]

    def components(self) -> Mapping[str, Any]:
        """What the compile stage said of each component, also of an earlier build; empty where that was on another machine."""
        if self.members:
            told = ((maker.plan.name, maker.components()) for maker in self.members)
            return {f"{model}/{name}": each for model, components in told for name, each in components.items()}
        files = self.parts.library.records.files(compiled_key(self.plan, self.base))
        return read_stage_report(files, self.parts.store)

    def publish(self, repository: Repository) -> None:
        """Have a repository that holds the image remember which key each layer was made of."""
        for planned in self.plan.layers:
            self.parts.library.publish(repository, self._key(planned))

    def found_other(self) -> frozenset[str]:
        """The keys of artifacts that were made of other graphs or weights than this builder's, so that they cannot be in its
        image. Nothing is made to know it where the image's graphs are on record: they were held against each other then."""
        graphs = next(layer for layer in self.plan.layers if layer.kind == "graphs")
        if known_records(self.plan, graphs, self.parts, self.base) is not None:
            return frozenset()
        if self.members:
            return frozenset().union(*(maker.found_other() for maker in self.members))
        return other_artifacts(self._graphs, self.plan.artifacts, self.parts.store, self.tell)

    def artifacts(self, *, keep_all: bool) -> tuple[FileRecord, ...]:
        """What this machine compiles of the plan's model: each artifact's files, and the stage's report."""
        exported = self._exported
        return self._artifacts_oven().artifacts(self.plan, exported, keep_all=keep_all)

    def remake(self, digests: Collection[str]) -> None:
        """Forget how layers with these digests were made, and make them again: their bytes are needed."""
        if any(layer.blob.digest in digests for layer in self.base_image().layers):
            self._save_base(base_key(self.base))
        for planned in self.plan.layers:
            if any(record.digest in digests for record in self._records(planned)):
                self.tell(f"layers: {planned.name} is needed, and the store has not got it any more")
                if planned.kind == "weights":
                    self.fetch()
                self.parts.library.records.put_layers(self._key(planned), tuple(self._make(planned)))

    def _records(self, planned: Layer) -> tuple[LayerRecord, ...]:
        known = known_records(self.plan, planned, self.parts, self.base)
        if known is None:
            known = tuple(self._make(planned))
            self.parts.library.records.put_layers(self._key(planned), known)
        return known

    def _key(self, planned: Layer) -> str:
        return record_key(planned, self.parts.compression, self.base)

    def _make(self, planned: Layer) -> list[LayerRecord]:
        if planned.kind == "weights":
            return [self._published(planned)]
        if planned.kind == "derived":
            return [self.parts.of_files(group) for group in split_files(self._derived(planned))]
        if planned.kind == "compiled":
            return [self.parts.of_files(self._artifact(planned))]
        if planned.kind == "graphs":
            return self._graph_layers()
        stage = "packages-layer" if planned.kind == "dependencies" else "code-layer"
        with self.builder.tree(stage) as entries:
            return [self.parts.of_tree(entries)]

    def _published(self, planned: Layer) -> LayerRecord:
        self.fetch()
        return self.parts.of_files(published_files(self.plan, planned))

    def _graph_layers(self) -> list[LayerRecord]:
        """What was packed ahead for one kind of processor first: it is large where there is any, graphs and manifest are not."""
        native = [file for file in self._compiled if file.path.startswith("models/compiled/")]
        rest = [file for file in self._compiled if file not in native]
        folders = model_folders(self.plan.shipped, self.plan.folders, (file.path for file in native))
        return [*(self.parts.of_files(group) for group in split_files(native)), self.parts.of_files(rest, folders)]

    def _artifact(self, planned: Layer) -> list[FileRecord]:
        """The bytes are here: an artifact of which that is not so has a record."""
        return [FileRecord(f"models/{file.path}", file.sha256, file.size) for file in layer_files(self.plan, planned)]

    def _derived(self, planned: Layer) -> list[FileRecord]:
        place = planned.paths[0].removeprefix("/models/")
        for maker, member in zip(self.members, self.plan.members, strict=True):
            for folder in member.plan.derived:
                if member.place(folder) == place:
                    return derived_of(maker._exported, folder, place)
        return derived_of(self._exported, place, place)

    @cached_property
    def _exported(self) -> tuple[FileRecord, ...]:
        self.fetch()
        return self._oven.export(self.plan, exported_key(self.plan, self.base))

    @cached_property
    def _compiled(self) -> tuple[FileRecord, ...]:
        if self.members:
            compiled = {maker.plan.name: maker._compiled for maker in self.members}
            return self._oven.join(compiled, joined_key(self.plan, self.base))
        return tell_artifacts(self._graphs, self.plan.artifacts, self.parts.store)

    @cached_property
    def _graphs(self) -> tuple[FileRecord, ...]:
        """What the compile stage made, which knows of no artifacts."""
        key = compiled_key(self.plan, self.base)
        known = known_files(self.parts.library.records, self.parts.store, key)
        if known is not None:
            self.tell("compile: known, nothing that it is made of changed")
            return of_models(known)
        return self._oven.compile(self.plan, self._exported, key)

    @cached_property
    def _oven(self) -> Oven:
        key = digest({"base": self.base.digest, "packages": self.plan.export_packages})
        return self._oven_of("export-packages", f"prebake/export:{key[:16]}", EXPORT)

    def _artifacts_oven(self) -> Oven:
        """Where what a machine compiles is compiled."""
        if self.plan.compiler_packages:
            return self._compiler_oven()
        return self._device_oven() if self.plan.target in GPU_TARGETS else self._oven

    def _device_oven(self) -> Oven:
        """Where the image's own ONNX Runtime is, too: that of the export packages knows no device."""
        served = next(layer.key for layer in self.plan.layers if layer.kind == "dependencies")
        key = digest({"base": self.base.digest, "packages": self.plan.export_packages, "served": served})
        return self._oven_of("device-packages", f"prebake/device:{key[:16]}", ON_DEVICE)

    def _compiler_oven(self) -> Oven:
        """With a C++ compiler: Debian's, which a bootstrapped base has no package manager to install."""
        recipe = toolchain_of() if self.base.reference == Recipe().reference else None
        key = digest(
            {"base": self.base.digest, "packages": self.plan.compiler_packages, "toolchain": recipe and recipe.key}
        )
        image = f"prebake/compiler:{key[:16]}"
        if recipe is None or has_image(self.connection, image):
            return self._oven_of("compiler", image, EXPORT)
        toolchain = bootstrapped(self.connection, recipe, say=self.tell)
        return self._oven_of("compiler", image, EXPORT, {"toolchain": f"docker-image://{toolchain.reference}"})

    def _oven_of(self, stage: str, image: str, packages: str, contexts: Mapping[str, str] | None = None) -> Oven:
        if not has_image(self.connection, image):
            self.builder.image(stage, image, contexts=contexts or {})
        runner = InContainer(self.connection, image, self.tell, packages)
        return Oven(runner, self.builder.context, self.parts.store, self.parts.library.records, self.tell)

    def _save_base(self, key: str) -> tuple[tuple[FileRecord, ...], tuple[LayerRecord, ...]]:
        self.tell(f"base: keeping the layers of {self.base.reference}")
        records, store = self.parts.library.records, self.parts.store
        with store.folder() as folder:
            saved = save_image(self.connection, self.base.reference, folder)
            sizes = {layer.diff: layer.size for layer in inspect_image(self.connection, self.base.reference).layers}
            diffs = saved.config["rootfs"]["diff_ids"]
            layers = tuple(
                self.parts.of_blob(path, media_type_of(path), diff, "as the base has it", sizes.get(diff))
                for path, diff in zip(saved.layers, diffs, strict=True)
            )
            (folder / "config").mkdir()
            (folder / "config" / "config.json").write_text(json.dumps(saved.config))
            config = keep_tree(folder / "config", store)
        records.put_files(digest([key, "config"]), config)
        records.put_layers(key, layers)
        return config, layers


def _annotations(planned: Layer) -> dict[str, str]:
    """ModelPack's name for the file of a layer that holds one (its model-spec, "Pre-defined Annotation Keys")."""
    if planned.kind == "weights" and len(planned.paths) == 1:
        return {"org.cncf.model.filepath": planned.paths[0].removeprefix("/models/")}
    return {}
