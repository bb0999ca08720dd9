"""The pipeline of a build for printing: ``prebake explain`` and ``prebake build --plan``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from prebake.checkpoints.store.store import Store, default_root
from prebake.docker.connection import Connection, find_engine
from prebake.errors import EngineUnavailable
from prebake.io.log import Log
from prebake.oci.layers.compression import Compression
from prebake.plan.values import Plan
from prebake.workflow.layers.artifacts import look_up, open_layers
from prebake.workflow.layers.layer_store import LayerStore
from prebake.workflow.pipeline.resolution import Resolution, find_base, resolve
from prebake.workflow.pipeline.step import Pipeline
from prebake.workflow.pipeline.step_planner import plan_steps


@dataclass(frozen=True)
class Preview:
    """What a build would look up, and its pipeline. ``connection`` is None if no Engine answers; ``unavailable`` says why."""

    resolution: Resolution
    pipeline: Pipeline
    layers: LayerStore
    connection: Connection | None
    unavailable: str = ""


@contextmanager
def preview(
    plan: Plan,
    base: str,
    references: Sequence[str],
    compression: Compression,
    log: Log,
    cache_from: Sequence[str] = (),
) -> Iterator[Preview]:
    """Plan a build without running it. ``references`` and ``cache_from`` name repositories that are asked for records and
    artifacts; they are open while the block runs."""
    with open_layers(Store(default_root()), references, log, compression, cache_from) as layers:
        connection, unavailable = _find_engine()
        found = look_up(plan, layers, log)
        resolution = resolve(plan, found, layers, connection, find_base(plan, connection, base))
        yield Preview(
            resolution=resolution,
            pipeline=plan_steps(resolution),
            layers=layers,
            connection=connection,
            unavailable=unavailable,
        )


def _find_engine() -> tuple[Connection | None, str]:
    try:
        return find_engine(), ""
    except EngineUnavailable as error:
        return None, error.message
