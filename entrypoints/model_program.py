"""The program of a model process that the server process starts later, to load a model that is not in memory:
``python3 -m entrypoints.model_program NAME CHANNEL OUTPUT HOST PORT MANNER``.

CHANNEL and OUTPUT are descriptors of its end of the channel and of the pipe that it prints to; HOST and PORT are the server's.
MANNER is one of ``entrypoints.server.residency.manners``.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, NoReturn

from entrypoints.processes.timeline import Timeline
from entrypoints.serve import end_with, import_shared_modules, load_model, prepare_interpreter, run_model
from entrypoints.server.residency.manners import BEGUN, WHOLE

if TYPE_CHECKING:
    from entrypoints.model.preload import Preload


def main() -> NoReturn:
    try:
        timeline = Timeline()
        prepare_interpreter()
        name, channel, output, host, port, manner = sys.argv[1:]
        for descriptor in (int(channel), int(output)):
            os.set_inheritable(descriptor, False)
        from entrypoints.settings import read_settings

        settings = read_settings(os.environ)._replace(host=host, port=int(port))
        if manner != WHOLE:
            settings = settings._replace(verify="sizes")
        import_shared_modules()
        load = load_begun if manner == BEGUN else load_model
        run_model(settings, timeline, socket.socket(fileno=int(channel)), int(output), name, load)
    except BaseException as error:  # the server process shows what this one prints
        end_with(error)


def load_begun(preload: Preload) -> None:
    """As ``entrypoints.serve.load_model``, without a digest and without a warm-up: the request that waits is the first one."""
    try:
        preload.begin_reading_libraries()
        manifest = preload.read_manifest()
        preload.begin_reading_files(manifest)
        preload.import_numpy(manifest)
        preload.begin_decoder(manifest)
        preload.import_runtimes(manifest)
        components = preload.begin_opening(manifest)
        create = preload.import_model(manifest)
        preload.begin_work(manifest, preload.create_model(create, components))
        preload.measure_free_memory()
        preload.become_ready(manifest)
        preload.wait_for_components()
        preload.warm_buckets(manifest)
    except BaseException as error:  # a model's SystemExit too: otherwise the load would never end
        preload.fail(error)


if __name__ == "__main__":
    main()
