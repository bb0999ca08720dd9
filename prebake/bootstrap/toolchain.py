"""The recipe of an image with a C++ compiler, for builds on the Debian base, which has no package manager to install one."""

from __future__ import annotations

from dataclasses import replace

from prebake.bootstrap.base_recipe import Recipe

PACKAGES = ("g++", "libpython3.11-dev")
"""AOTInductor runs the compiler, with its OpenMP headers; triton compiles against Python's headers."""


def toolchain_recipe() -> Recipe:
    """The Debian base and the compiler."""
    base = Recipe()
    return replace(base, packages=(*base.packages, *PACKAGES))
