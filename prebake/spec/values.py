"""TEMPORARY: LockedFile, Lock live in prebake.spec.lock; the image spec and its sources (FromHub, …) in prebake.spec.image. Import from there."""

from prebake.spec.image import Checkpoint, FromHttp, FromHub, FromLocal, FromPypi, FromSample, Source
from prebake.spec.lock import Lock, LockedBase, LockedCheckpoint, LockedFile, parse_lock, render_lock

__all__ = ["Checkpoint", "FromHttp", "FromHub", "FromLocal", "FromPypi", "FromSample", "Lock", "LockedBase", "LockedCheckpoint", "LockedFile", "Source", "parse_lock", "render_lock"]
