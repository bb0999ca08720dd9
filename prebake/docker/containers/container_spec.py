"""The description of a container, and the options that the Docker SDK takes for it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.types import DeviceRequest, Mount

from prebake.docker.containers.owners import owner_label

LABEL = "org.prebake.run"
USER = "65532:65532"  # a number: Kubernetes' runAsNonRoot cannot check a name


@dataclass(frozen=True)
class Bind:
    """A folder or file of the Engine's machine, mounted at ``target``."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class ImageMount:
    """A folder of another image, mounted read-only at ``target`` (Docker Engine 28 and later)."""

    image: str
    folder: str
    target: str

    def document(self) -> dict[str, Any]:
        """The form of the Engine's API, since the Docker SDK does not have this kind of mount."""
        options = {"Subpath": self.folder}
        return {"Type": "image", "Source": self.image, "Target": self.target, "ReadOnly": True, "ImageOptions": options}


@dataclass(frozen=True)
class ContainerSpec:
    """A container, hardened by default: read-only root, no capabilities, a numeric user, no new privileges.

    ``ports`` are container ports; the Engine publishes them on 127.0.0.1 at free ports. ``published`` are container ports with
    the port of 127.0.0.1 that each gets. ``tmpfs`` are mount options by path, ``shared_memory`` is the size of /dev/shm in bytes,
    ``security_options`` are further options of ``docker run --security-opt``, ``memory`` is in bytes, ``processors`` a number of
    CPUs, ``processes`` the limit of processes and threads, ``gpus`` a number (-1 for all). With ``host_users``, numbers of users
    are those of the Engine's machine even if the Engine remaps users. With ``auto_remove``, the Engine removes the container when
    it ends. ``owner`` is the label by which strays are found (``owner_label``).
    """

    image: str
    command: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[int] = ()
    published: Mapping[int, int] = field(default_factory=dict)
    binds: Sequence[Bind] = ()
    images: Sequence[ImageMount] = ()
    tmpfs: Mapping[str, str] = field(default_factory=lambda: {"/tmp": "size=256m,mode=1777"})  # noqa: S108
    shared_memory: int | None = None
    user: str = USER
    read_only: bool = True
    capabilities: Sequence[str] = ()
    security_options: Sequence[str] = ()
    network: str | None = None
    host_users: bool = False
    memory: int | None = None
    processors: float | None = None
    processes: int | None = None
    gpus: int = 0
    auto_remove: bool = False
    owner: str = field(default_factory=lambda: owner_label(os.getpid()))


def docker_options(spec: ContainerSpec) -> dict[str, Any]:
    """The keyword arguments of the Docker SDK's ``containers.create``, except the image and the command."""
    options: dict[str, Any] = {
        "environment": dict(spec.environment),
        "ports": {
            **{f"{port}/tcp": ("127.0.0.1", None) for port in spec.ports},
            **{f"{port}/tcp": ("127.0.0.1", host_port) for port, host_port in spec.published.items()},
        },
        "mounts": [
            *(Mount(bind.target, str(bind.source), type="bind", read_only=bind.read_only) for bind in spec.binds),
            *(mount.document() for mount in spec.images),
        ],
        "tmpfs": dict(spec.tmpfs),
        "shm_size": spec.shared_memory,
        "user": spec.user,
        "read_only": spec.read_only,
        "cap_drop": ["ALL"],
        "cap_add": list(spec.capabilities),
        "security_opt": ["no-new-privileges", *spec.security_options],
        "labels": {LABEL: spec.owner},
        "mem_limit": spec.memory,
        "nano_cpus": None if spec.processors is None else int(spec.processors * 1e9),
        "pids_limit": spec.processes,
        "network": spec.network,
        "auto_remove": spec.auto_remove,
        "userns_mode": "host" if spec.host_users else None,
        "device_requests": [DeviceRequest(count=spec.gpus, capabilities=[["gpu"]])] if spec.gpus else [],
    }
    if spec.entrypoint is not None:
        options["entrypoint"] = list(spec.entrypoint)
    return options
