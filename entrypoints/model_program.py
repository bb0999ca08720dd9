"""The program of a model process that the server process starts later, after the model was unloaded:
``python3 -m entrypoints.model_program NAME CHANNEL OUTPUT HOST PORT``.

CHANNEL and OUTPUT are descriptors of its end of the channel and of the pipe that it prints to; HOST and PORT are the server's.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import NoReturn

from entrypoints.processes.timeline import Timeline
from entrypoints.serve import end_with, import_shared_modules, prepare_interpreter, run_model


def main() -> NoReturn:
    try:
        timeline = Timeline()
        prepare_interpreter()
        name, channel, output, host, port = sys.argv[1:]
        for descriptor in (int(channel), int(output)):
            os.set_inheritable(descriptor, False)
        from entrypoints.settings import read_settings

        settings = read_settings(os.environ)._replace(host=host, port=int(port))
        import_shared_modules()
        run_model(settings, timeline, socket.socket(fileno=int(channel)), int(output), name)
    except BaseException as error:  # the server process shows what this one prints
        end_with(error)


if __name__ == "__main__":
    main()
