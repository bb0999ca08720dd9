"""The image's OCI config. The rendered Dockerfile's last instructions and a direct build write the same one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prebake.plan.image_metadata import OCI, OF_THE_COMMIT, OWN
from prebake.plan.runtime import package_locks, runtime_of
from prebake.plan.values import Plan
from prebake.spec.image.image import ImageSpec

HTTP_PORT, GRPC_PORT = 8000, 8001
"""The second is Triton's, too."""

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


# Torch needs a folder for temporary files when it is imported; with `--read-only` only /dev/shm is writable. Files in /dev/shm
# cannot be executed, so compiled code lies elsewhere. Torch's default folders contain the user's name, and the image's user has
# no name.
TORCH_VARIABLES = {
    "HF_HUB_OFFLINE": "1",
    "TMPDIR": "/dev/shm",  # noqa: S108
    "TORCHINDUCTOR_CACHE_DIR": "/tmp/torchinductor",  # noqa: S108
    "TRITON_CACHE_DIR": "/tmp/triton",  # noqa: S108
}


# Packages that write to their user's home folder when they are imported; the image's user has none.
CACHE_VARIABLES = {
    "numba": {"NUMBA_CACHE_DIR": "/dev/shm/numba"},  # noqa: S108
    "matplotlib": {"MPLCONFIGDIR": "/dev/shm/matplotlib"},  # noqa: S108
}


@dataclass(frozen=True)
class ContainerConfig:
    """OCI's execution parameters, on top of the base image's."""

    env: Mapping[str, str]
    labels: Mapping[str, str]
    user: str = "65532:65532"
    ports: tuple[int, ...] = (HTTP_PORT,)
    entrypoint: tuple[str, ...] = ("python3", "-S", "-m", "entrypoints.serve")

    @property
    def annotations(self) -> dict[str, str]:
        """The manifest's annotations: the labels in OCI's namespace, which registries show."""
        return {name: value for name, value in self.labels.items() if name.startswith("org.opencontainers.")}

    @property
    def stable_labels(self) -> dict[str, str]:
        """The labels that do not change with the commit. The weights image has only these, so its digest changes only with
        its content."""
        return {name: value for name, value in self.labels.items() if name not in OF_THE_COMMIT}

    def over(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """This config applied to that of a base image, as a Dockerfile's instructions do it: variables are replaced by name,
        the command is dropped. OCI's labels of the base are dropped too, since they describe the base."""
        kept = [entry for entry in base.get("Env") or [] if entry.partition("=")[0] not in self.env]
        labels = base.get("Labels") or {}
        inherited = {name: value for name, value in labels.items() if not name.startswith(f"{OCI}.")}
        return {
            **{key: value for key, value in base.items() if key not in ("Cmd", "Healthcheck") and value},
            "Env": [*kept, *(f"{name}={value}" for name, value in self.env.items())],
            "Labels": {**inherited, **self.labels},
            "ExposedPorts": {**(base.get("ExposedPorts") or {}), **{f"{port}/tcp": {} for port in self.ports}},
            "User": self.user,
            "Entrypoint": list(self.entrypoint),
        }


def container_config(plan: Plan) -> ContainerConfig:
    ports = (HTTP_PORT, GRPC_PORT) if plan.spec.serving.grpc else (HTTP_PORT,)
    return ContainerConfig(_env(plan), _labels(plan), ports=ports)


def _env(plan: Plan) -> dict[str, str]:
    env = {
        "PYTHONPATH": "/app:/opt/prebake",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        "PREBAKE_MODELS": "/models",
    }
    if plan.spec.serving.grpc:
        env["PREBAKE_GRPC_PORT"] = str(GRPC_PORT)
    env |= _batching_env(plan.spec) | _residency_env(plan.spec)
    if runtime_of(plan.spec, plan.target) == "torch":
        env |= TORCH_VARIABLES
    env |= {
        name: value
        for package in CACHE_VARIABLES
        if _serves(plan, package)
        for name, value in CACHE_VARIABLES[package].items()
    }
    if plan.members:
        env["PREBAKE_MODEL_NAMES"] = ",".join(member.name for member in plan.members)
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


def _batching_env(spec: ImageSpec) -> dict[str, str]:
    """None without the key, so that the image is what it was."""
    values = {"PREBAKE_BATCH_SIZE": spec.batching.size, "PREBAKE_BATCH_WAIT": spec.batching.wait}
    return {name: f"{value:g}" for name, value in values.items() if value is not None}


def _residency_env(spec: ImageSpec) -> dict[str, str]:
    """The variables of settings that image.yaml has. An operator may set others."""
    preload = spec.preload if isinstance(spec.preload, str) else ",".join(spec.preload)
    settings = spec.residency
    values = {
        "PREBAKE_MODE": (spec.mode, "standard"),
        "PREBAKE_PRELOAD": (preload, "all"),
        "PREBAKE_PIN": (",".join(settings.pin), ""),
        "PREBAKE_IDLE_SECONDS": (f"{settings.idle_seconds:g}", "0"),
        "PREBAKE_HOST_MEMORY": (settings.host_memory, "0"),
        "PREBAKE_DEVICE_MEMORY": (settings.device_memory, "0"),
    }
    return {name: value for name, (value, default) in values.items() if value != default}


def _serves(plan: Plan, package: str) -> bool:
    """Whether the served image's requirements lock has a package."""
    locks = {f"requirements/{name}.txt" for name in package_locks(plan.spec, plan.target)}
    texts = ((file.data or b"").decode() for file in plan.context if file.path in locks)
    return any(re.search(rf"^{package}==", text, re.MULTILINE) for text in texts)


def _labels(plan: Plan) -> dict[str, str]:
    """Labels of the image, of its sources, and of the command line. Each value is one line, as a Dockerfile's LABEL
    requires."""
    labels = {
        f"{OCI}.title": one_line(plan.spec.title),
        f"{OCI}.description": one_line(plan.spec.description),
        f"{OCI}.licenses": plan.license,
        f"{OCI}.base.name": plan.base.reference,
        f"{OCI}.base.digest": plan.base.digest,
        f"{OWN}export-key": plan.export_key,
        f"{OWN}compile-key": plan.compile_key,
    }
    return {**{key: value for key, value in labels.items() if value}, **plan.metadata.labels}


def one_line(text: str) -> str:
    """Replace line breaks and unprintable characters by spaces."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
