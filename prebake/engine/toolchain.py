"""The C++ compiler for a base that has no package manager: an image of Debian packages, of which a build takes what it lacks."""

from __future__ import annotations

from dataclasses import replace

from prebake.engine.recipe import Recipe

PACKAGES = ("g++", "libpython3.11-dev")
"""AOTInductor asks the compiler, with its OpenMP headers; triton asks Python's headers, too."""


def toolchain_of(recipe: Recipe | None = None) -> Recipe:
    """What a base is made of, and the compiler."""
    recipe = recipe or Recipe()
    return replace(recipe, packages=(*recipe.packages, *PACKAGES))
