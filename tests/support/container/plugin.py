"""A provider that compiles without a device: Qualcomm's, whose x86 build simulates its processor.

It stands for TensorRT: a plugin of the very ONNX Runtime that serves, it makes real EPContext models of fixed shapes, in
fp16, and refuses what another version made. It is no requirement of Prebake: pip fetches it for these tests alone.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnxruntime
import pytest

NAME = "QNNExecutionProvider"
PACKAGE = "onnxruntime-qnn==2.7.0"
OPTIONS = {"backend_type": "htp", "enable_htp_fp16_precision": "1", "soc_model": "69"}
LIBRARY = "onnxruntime_qnn/libonnxruntime_providers_qnn.so"
REGISTER = f"import onnxruntime\nonnxruntime.register_execution_provider_library({NAME!r}, {{library!r}})\n"


def install(folder: Path) -> str:
    """The provider's library below ``folder``, and a ``sitecustomize`` that registers it in any Python started there. Skips
    the test, with pip's last words, where it cannot be had."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--target"]
    done = subprocess.run([*command, str(folder), PACKAGE], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"pip gives no {PACKAGE}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    library = os.fspath(folder / LIBRARY)
    (folder / "sitecustomize.py").write_text(REGISTER.format(library=library))
    return library


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The folder, and in it the library."""
    folder = tmp_path_factory.mktemp("plugin")
    yield folder, install(folder)
    shutil.rmtree(folder)  # 260 MB, which pytest would keep


@pytest.fixture(scope="module")
def plugin(installed: tuple[Path, str]) -> Iterator[Path]:
    """The folder to put into PYTHONPATH, as it is for processes that the tests start; the provider is registered here, too."""
    folder, library = installed
    with registered(library), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.fspath(folder))
        yield folder


@contextmanager
def registered(library: str) -> Iterator[None]:
    """The provider is registered in this process meanwhile.

    Unregistering unloads the library, and a session of the provider needs the library's code to be destroyed. A session in a
    reference cycle would be destroyed later, by whichever garbage collection comes next, and the process would crash there. So
    the garbage is collected first. If a session is still referenced, this raises, and the library stays loaded.
    """
    onnxruntime.register_execution_provider_library(NAME, library)
    yield
    gc.collect()
    objects = (each for each in gc.get_objects() if issubclass(type(each), onnxruntime.InferenceSession))
    referenced = [each for each in objects if NAME in getattr(each, "_providers", ())]  # unset if opening it failed
    assert not referenced, f"{len(referenced)} sessions of {NAME} are still referenced"
    onnxruntime.unregister_execution_provider_library(NAME)
