"""What a name of `system` stands for, asked of a real apt: this machine's for a base without it, otherwise the base's."""

from __future__ import annotations

import pytest

from prebake.bootstrap.base_recipe import Recipe
from prebake.docker.apt import AptPackages, find_packages
from prebake.docker.connection import Connection
from prebake.docker.images.base_image import Base, ensure_debian_base
from prebake.errors import SystemPackageError
from prebake.io.log import silent

WITH_APT = Recipe(packages=(*Recipe().packages, "apt"), dropped="/var/cache/* /var/log/*")


@pytest.fixture(scope="module")
def found(engine: Connection, base: Base) -> AptPackages:
    return find_packages(engine, base, ["libsndfile1"], silent)


def test_a_name_stands_for_a_package_and_what_it_depends_on(found: AptPackages) -> None:
    names = [each.name for each in found.packages]
    assert names == sorted(names)
    assert {"libsndfile1", "libogg0", "libvorbisenc2"} <= set(names)
    assert not {"libc6", "libgcc-s1", "gcc-12-base"} & set(names)
    for each in found.packages:
        assert (each.path.partition("/")[0], each.path[-4:], len(each.sha256)) == ("pool", ".deb", 64)
        assert each.size > 0
        assert each.archive in found.archives


def test_the_base_s_own_apt_says_the_same(engine: Connection, found: AptPackages) -> None:
    with_apt = ensure_debian_base(engine, WITH_APT, log=silent)
    assert find_packages(engine, with_apt, ["libsndfile1"], silent).packages == found.packages


@pytest.mark.parametrize("name", ["libnosuchpackage", "libsndfile1=0.0.1"])
def test_a_name_or_version_that_is_not_there_is_refused_with_apt_s_words(
    engine: Connection, base: Base, name: str
) -> None:
    with pytest.raises(SystemPackageError, match=name.partition("=")[0]):
        find_packages(engine, base, [name], silent)
