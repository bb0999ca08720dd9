"""Platforms as OCI writes them, ``linux/amd64``: Go's names of operating systems and processors."""

from __future__ import annotations

import platform

_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386"}
_IMPLIED_VARIANTS = {("amd64", "v1"), ("arm64", "v8")}  # every such processor is of this variant


def normalize_architecture(machine: str) -> str:
    """``amd64`` for ``x86_64``, as ``uname -m`` has it; an unknown name stays."""
    return _ARCHITECTURES.get(machine, machine)


def host_architecture() -> str:
    """This machine's architecture."""
    return normalize_architecture(platform.machine())


def normalize_platform(text: str) -> str:
    """One spelling of each platform, as containerd has it: ``linux/x86_64`` and ``amd64`` are ``linux/amd64``."""
    parts = text.strip().lower().split("/")
    system, machine, *variants = parts if len(parts) > 1 else ("linux", *parts)
    architecture = normalize_architecture(machine)
    kept = [variant for variant in variants if (architecture, variant) not in _IMPLIED_VARIANTS]
    return "/".join([system, architecture, *kept])
