"""What the tests of downloads share: a file, its download, and looks into the store."""

from __future__ import annotations

from prebake.checkpoints.fetch import fetch
from prebake.checkpoints.sources.http import Http
from prebake.checkpoints.store.store import Store
from prebake.io.retry import RetryPolicy
from prebake.spec.lock import LockedFile
from tests.support.checkpoint_servers.webserver import WebServer
from tests.support.checkpoints.parts import HASTY, Diary, locked, some_bytes

DATA = some_bytes(3_000_000)


def file_of(web: WebServer, path: str = "a.safetensors", data: bytes = DATA) -> LockedFile:
    return locked(path, f"http:{web.url}/{path}", data)


def bring(files: list[LockedFile], store: Store, retry_policy: RetryPolicy = HASTY) -> Diary:
    diary = Diary()
    fetch(files, store, {"http": Http(retry_policy)}, diary)
    return diary


def leftovers(store: Store) -> list[str]:
    return sorted(path.name for folder in ("partial", "temp") for path in (store.root / folder).iterdir())


def check_held(store: Store, file: LockedFile, data: bytes = DATA) -> None:
    path = store.get(file.sha256, file.size)
    assert path is not None
    assert path.read_bytes() == data
    assert leftovers(store) == []
