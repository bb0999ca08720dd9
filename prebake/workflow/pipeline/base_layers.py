"""The layers of a base image in the store, as the Engine has them, so that all images share them."""

from __future__ import annotations

import json
from collections.abc import Collection

from prebake.docker.connection import Connection
from prebake.docker.images.base_image import Base
from prebake.docker.images.image_export import save_image
from prebake.docker.images.images import inspect_image
from prebake.documents.canonical import digest_json
from prebake.io.log import Log
from prebake.oci.layout.assembly import BaseImage
from prebake.workflow.layers.cache_keys import base_key
from prebake.workflow.layers.layer_store import LayerStore, detect_media_type, store_tree


def has_base_layers(base: Base, layers: LayerStore, lost: Collection[str] = ()) -> bool:
    """Whether the layers of a base image are on record, and the store has its config."""
    key = base_key(base)
    config, records = layers.cache.records.files(digest_json([key, "config"])), layers.cache.records.layers(key)
    if config is None or records is None or layers.store.get(config[0].sha256) is None:
        return False
    return not any(record.digest in lost for record in records)


def keep_base(base: Base, connection: Connection, layers: LayerStore, log: Log) -> None:
    """Copy the layers and the config of a base image from the Engine into the store."""
    log(f"base: keeping the layers of {base.reference}")
    key = base_key(base)
    with layers.store.folder() as folder:
        saved = save_image(connection, base.reference, folder)
        sizes = {layer.diff_id: layer.size for layer in inspect_image(connection, base.reference).layers}
        diffs = saved.config["rootfs"]["diff_ids"]
        records = tuple(
            layers.record_blob(path, detect_media_type(path), diff_id, "as the base has it", sizes.get(diff_id))
            for path, diff_id in zip(saved.layers, diffs, strict=True)
        )
        (folder / "config").mkdir()
        (folder / "config" / "config.json").write_text(json.dumps(saved.config))
        config = store_tree(folder / "config", layers.store)
    layers.cache.records.put_files(digest_json([key, "config"]), config)
    layers.cache.records.put_layers(key, records)


def base_image(base: Base, layers: LayerStore) -> BaseImage:
    """The layers and the config of a base image, from the store."""
    key = base_key(base)
    config, records = layers.cache.records.files(digest_json([key, "config"])), layers.cache.records.layers(key)
    if config is None or records is None:
        raise ValueError(f"the layers of {base.reference} are not on record")
    document = json.loads(layers.store.place(config[0].sha256).read_bytes())
    return BaseImage(document, tuple(layers.layer(record, f"FROM {base.reference}") for record in records))
