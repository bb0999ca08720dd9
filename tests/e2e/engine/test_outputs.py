"""An image into the Engine where that cannot reach this process: found out, and gone round."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from prebake.docker.connection import Connection
from prebake.docker.images.images import inspect_image
from tests.support.registries.oci_images import read_file
from tests.support.repository import ROOT

PUT = """
import sys
from prebake.docker.connection import find_engine
from prebake.workflow.delivery.outputs import EngineOutput
from tests.support.registries.oci_images import image_of
from tests.support.registries.oci_images import tar_layer

image = image_of(tar_layer({"greeting": sys.argv[1].encode()}))
EngineOutput(find_engine(), sys.argv[1], print).put(image)
print(image.digest)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace takes root")
def test_an_engine_in_another_network_gets_an_archive(engine: Connection, tag: str) -> None:
    """The process runs in a network namespace of its own: its loopback is not the Engine's."""
    words = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-c", PUT, tag]
    environment = {**engine.env, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    *said, digest = ended.stdout.splitlines()
    assert any("loading an archive instead" in line for line in said)
    assert inspect_image(engine, tag).digest == digest
    assert read_file(engine, tag, "/greeting") == tag.encode()
