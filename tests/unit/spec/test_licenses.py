"""Licenses are checked against SPDX's list, wherever one is given."""

from __future__ import annotations

import pytest

from prebake.spec.image.licenses import LicenseInvalid, canonical_license, hub_license, is_identifier, license_reference
from prebake.spec.reader import parse_image
from tests.support.repository import ROOT

HUB = """
afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-4.0
cc-by-nc-nd-4.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-2.0 deepfloyd-if-license ecl-2.0 epl-2.0 etalab-2.0 eupl-1.2 gemma
gfdl gpl gpl-2.0 isc lgpl lgpl-lr lgpl-2.1 llama2 llama3.3 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail++
osl-3.0 pddl postgresql unlicense wtfpl zlib
"""
MINILM = ROOT / "images/minilm/image.yaml"


def image_under(license: str) -> str:
    text = MINILM.read_text(encoding="utf-8")
    assert "license: {id: MIT AND Apache-2.0}" in text
    return text.replace("license: {id: MIT AND Apache-2.0}", f'license: {{id: "{license}"}}', 1)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("mit or (isc and cc0-1.0)", "MIT OR (ISC AND CC0-1.0)"),
        ("GPL-2.0-or-later WITH Classpath-exception-2.0", "GPL-2.0-or-later WITH Classpath-exception-2.0"),
        ("LicenseRef-Tencent-Hunyuan-Community", "LicenseRef-Tencent-Hunyuan-Community"),
    ],
)
def test_an_expression_gets_its_canonical_spelling(text: str, spelled: str) -> None:
    assert canonical_license(text) == spelled


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Apache2", "did you mean 'Apache-2.0'"),
        ("MIT AND Aapche-2.0", "'Aapche-2.0' is not in SPDX's list: did you mean 'Apache-2.0'"),
        ("Tencent Hunyuan", "'LicenseRef-Tencent'"),
        ("LicenseRef-a_b", "write 'LicenseRef-a-b'"),
        ("MIT AND", "write it as in"),
        ("", "write it as in"),
    ],
)
def test_what_spdx_does_not_know_is_refused_with_what_was_meant(text: str, answer: str) -> None:
    with pytest.raises(LicenseInvalid) as caught:
        canonical_license(text)
    assert answer in str(caught.value)


def test_image_yaml_is_read_in_spdx_spelling() -> None:
    spec = parse_image(image_under("mit"), "images/minilm/image.yaml")
    assert spec.checkpoints["published"].license.id == "MIT"


@pytest.mark.parametrize("name", ["other", "unknown", "", "ask, please"])
def test_a_card_that_says_nothing_gives_no_license(name: str) -> None:
    assert hub_license(name) == "LicenseRef-Unknown"


@pytest.mark.parametrize("name", HUB.split())
def test_every_name_of_the_hub_becomes_an_expression(name: str) -> None:
    found = hub_license(name)
    assert found != "LicenseRef-Unknown"
    assert canonical_license(found) == found


def test_an_identifier_is_neither_an_expression_nor_a_reference() -> None:
    assert is_identifier("mit")
    assert not is_identifier("MIT AND ISC")
    assert not is_identifier("LicenseRef-x")
    assert license_reference("a/b c") == "LicenseRef-a-b-c"
