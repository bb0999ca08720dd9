"""Several workers of a container compute with one copy of the weights."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from prebake.docker.connection import Connection
from prebake.measure import client
from prebake.measure.start import START_TIMEOUT_SECONDS
from prebake.measure.warmup_request import read_warmup
from prebake.workflow.start_check.launcher import EngineLauncher
from tests.long.residency import start
from tests.long.resources import ContainerTarget
from tests.support.commands.projects import Built

WORKERS = 4


def measure_size(engine: Connection, image: str, workers: int) -> int:
    """The proportional set size of a container that has answered as many requests at once as it has workers."""
    warmup = read_warmup(EngineLauncher(engine), image)
    with start(engine, image, PREBAKE_WORKERS=str(workers), PREBAKE_THREADS="1") as container:
        target = ContainerTarget(container)
        client.wait_until(target, client.is_ready, START_TIMEOUT_SECONDS, "ready")
        with ThreadPoolExecutor(workers) as clients:
            statuses = list(clients.map(lambda _: client.ask(target, warmup.request).status, range(8 * workers)))
        assert set(statuses) == {200}
        return target.sample().pss


def test_each_worker_adds_at_most_a_tenth_of_the_weights(engine: Connection, minilm: Built) -> None:
    weights = sum(layer["size"] for layer in minilm.report["layers"] if layer["kind"] == "weights")
    assert weights > 80 << 20
    alone, together = (measure_size(engine, minilm.tag, workers) for workers in (1, WORKERS))
    assert together - alone <= (WORKERS - 1) * weights // 10
