"""The image's configuration: what the Dockerfile's last instructions say, and what the direct path writes itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prebake.plan.metadata import OCI, OF_THE_COMMIT, OWN
from prebake.plan.runtime import package_locks, runtime_of
from prebake.plan.values import Plan

# Where the CUDA packages of PyPI put their libraries, below the folder that pip installs into.
CUDA_LIBRARIES = (
    "cu13/lib",
    "cudnn/lib",
    "cuda_runtime/lib",
    "cublas/lib",
    "cufft/lib",
    "curand/lib",
    "cuda_nvrtc/lib",
)


# Torch asks for a folder for temporary files when it is imported, and the only one that `--read-only` leaves is /dev/shm.
# What it compiles it keeps elsewhere, as nothing may be executed there; its default folders are called after the user, and
# the image's has no name.
FOR_TORCH = {
    "HF_HUB_OFFLINE": "1",
    "TMPDIR": "/dev/shm",  # noqa: S108
    "TORCHINDUCTOR_CACHE_DIR": "/tmp/torchinductor",  # noqa: S108
    "TRITON_CACHE_DIR": "/tmp/triton",  # noqa: S108
}


# Packages that write to a folder of their user's when they are imported, who has none.
CACHES = {
    "numba": {"NUMBA_CACHE_DIR": "/dev/shm/numba"},  # noqa: S108
    "matplotlib": {"MPLCONFIGDIR": "/dev/shm/matplotlib"},  # noqa: S108
}


@dataclass(frozen=True)
class ContainerConfig:
    """OCI's execution parameters, on top of the base image's."""

    env: Mapping[str, str]
    labels: Mapping[str, str]
    user: str = "65532:65532"
    port: int = 8000
    entrypoint: tuple[str, ...] = ("python3", "-S", "-m", "entrypoints.serve")

    @property
    def annotations(self) -> dict[str, str]:
        """The manifest's: those of the labels in OCI's namespace, so that a registry can show them."""
        return {name: value for name, value in self.labels.items() if name.startswith("org.opencontainers.")}

    @property
    def stable_labels(self) -> dict[str, str]:
        """Those that stay from commit to commit, for an image of weights alone: its digest moves only with what it holds."""
        return {name: value for name, value in self.labels.items() if name not in OF_THE_COMMIT}

    def over(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """The whole ``config`` of an image on a base with this one: variables replaced by name, the command dropped, as
        a Dockerfile's instructions do it. OCI's labels of the base are about the base, and stay with it."""
        kept = [entry for entry in base.get("Env") or [] if entry.partition("=")[0] not in self.env]
        labels = base.get("Labels") or {}
        inherited = {name: value for name, value in labels.items() if not name.startswith(f"{OCI}.")}
        return {
            **{key: value for key, value in base.items() if key not in ("Cmd", "Healthcheck") and value},
            "Env": [*kept, *(f"{name}={value}" for name, value in self.env.items())],
            "Labels": {**inherited, **self.labels},
            "ExposedPorts": {**(base.get("ExposedPorts") or {}), f"{self.port}/tcp": {}},
            "User": self.user,
            "Entrypoint": list(self.entrypoint),
        }


def container_config(plan: Plan) -> ContainerConfig:
    return ContainerConfig(_env(plan), _labels(plan))


def _env(plan: Plan) -> dict[str, str]:
    env = {
        "PYTHONPATH": "/app:/opt/prebake",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "PREBAKE_MODELS": "/models",
        "PREBAKE_HOST": "0.0.0.0",  # noqa: S104  (a container's own)
        "PREBAKE_PORT": "8000",
    }
    if runtime_of(plan.spec, plan.target) == "torch":
        env |= FOR_TORCH
    env |= {name: value for package in CACHES if _serves(plan, package) for name, value in CACHES[package].items()}
    if plan.members:
        env["PREBAKE_MEMBERS"] = ",".join(member.name for member in plan.members)
    if plan.target == "cpu":
        return env
    libraries = [f"/opt/prebake/nvidia/{path}" for path in CUDA_LIBRARIES]
    return {
        **env,
        "NVIDIA_VISIBLE_DEVICES": "all",
        "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
        "CUDA_MODULE_LOADING": "LAZY",
        "LD_LIBRARY_PATH": ":".join([*libraries, "/opt/prebake/tensorrt_libs"]),
    }


def _serves(plan: Plan, package: str) -> bool:
    """Whether a package is locked for the image that serves."""
    locks = {f"requirements/{name}.txt" for name in package_locks(plan.spec, plan.target)}
    texts = ((file.data or b"").decode() for file in plan.context if file.path in locks)
    return any(re.search(rf"^{package}==", text, re.MULTILINE) for text in texts)


def _labels(plan: Plan) -> dict[str, str]:
    """What the image is, what it was made of, and what the command line adds; one line each, as a Dockerfile can say it."""
    labels = {
        f"{OCI}.title": one_line(plan.spec.title),
        f"{OCI}.description": one_line(plan.spec.description),
        f"{OCI}.licenses": plan.licence,
        f"{OCI}.base.name": plan.base.reference,
        f"{OCI}.base.digest": plan.base.digest,
        f"{OWN}export-key": plan.export_key,
        f"{OWN}compile-key": plan.compile_key,
    }
    return {**{key: value for key, value in labels.items() if value}, **plan.metadata.labels}


def one_line(text: str) -> str:
    """Line breaks and what cannot be printed become spaces."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
