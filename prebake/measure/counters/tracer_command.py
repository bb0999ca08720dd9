"""The command that starts another command under the tracer, in any container that has Python 3.11."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

INTERPRETER = "python3"
_PACKAGE = "prebake.measure.counters.tracer"
_MODULES = ("kernel", "process_files", "trace", "program")  # each imports those before it

# Packages of the same names, of which the container has none, hold the modules: so they import each other as they do here.
_LOADER = """
import base64, json, sys, types, zlib
package, sources = json.loads(zlib.decompress(base64.b64decode(sys.argv[1])))
for end in [at for at, letter in enumerate(package) if letter == "."] + [len(package)]:
    sys.modules[package[:end]] = types.ModuleType(package[:end])
    sys.modules[package[:end]].__path__ = []
for name, source in sources.items():
    module = sys.modules[package + "." + name] = types.ModuleType(package + "." + name)
    exec(compile(source, name + ".py", "exec"), module.__dict__)
module.main(sys.argv[2:])
"""


def tracer_command(command: Sequence[str]) -> list[str]:
    """``command`` under the tracer: the whole program is in the arguments, so that the image stays as it is and nothing is
    mounted. ``-I``: without the variables that the image sets for its own Python."""
    folder = Path(__file__).parent / "tracer"
    sources = {name: (folder / f"{name}.py").read_text(encoding="utf-8") for name in _MODULES}
    packed = base64.b64encode(zlib.compress(json.dumps([_PACKAGE, sources]).encode())).decode()
    return [INTERPRETER, "-I", "-S", "-c", _LOADER, packed, *command]
