"""Files that the first version of Prebake read, as `prebake upgrade` rewrites them: only names change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from prebake.spec.lock import lock_text, parse_lock
from prebake.spec.reader import parse_image
from prebake.spec.upgrade.upgraded_file import UpgradedFile, upgrade_image, upgrade_lock

FILES = Path(__file__).parent / "schema_1"
IMAGES = sorted(path.parent.name for path in FILES.glob("images/*/image.yaml"))
LOCKS = sorted(path.parent.name for path in FILES.glob("images/*/weights.lock"))
WORDS = [
    ("schema: 1", "schema: 2"),
    ("licence:", "license:"),
    ("acceptance: true", "requires_acceptance: true"),
    ("outside: dynamic", "overflow: dynamic"),
]

EVERY_NAME = """\
# every name that changed; `outside: error` in a comment stays
"schema": 1   # one
name: tiny
title: "outside: a title, announce"
system: [libgl1]
fallback: announce
targets: [cuda]
runtime: {cuda: torch}
compiled: {cuda: 'measured'}
checkpoint: a
checkpoints:
  a: &a
    licence: &mit {id: MIT, acceptance: true, text: README.md}
    sources: [{from: local, folder: outside, files: [net/config.json, net/w.safetensors], ship: [net/w.safetensors]}]
  b: *a
  c:
    <<: *a
    'licence': *mit
components:
  net: &net
    precision: {type: fp16, bound: 0.02}
    buckets: [{n: 1}]
    outside : dynamic
  other: {folder: net, <<: *net}
  words:
    folder: net
    precision: &p {type: int4, block: 32, bound: !!float "0.5"}
code: {torch: [model_torch.py]}
"""


def upgraded(text: str, where: str = "images/tiny/image.yaml") -> UpgradedFile:
    file, problems = (upgrade_lock if where.endswith(".lock") else upgrade_image)(text, where)
    assert problems == []
    assert file is not None
    return file


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_of_the_first_version_differs_by_its_names_alone(name: str) -> None:
    text = (FILES / f"images/{name}/image.yaml").read_text()
    expected = text
    for old, new in WORDS:
        expected = expected.replace(old, new)
    file = upgraded(text)
    assert file.text == expected
    assert file.schema == 1
    assert parse_image(file.text, f"images/{name}/image.yaml").name == yaml.safe_load(text)["name"]
    assert upgraded(file.text).changes == ()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_of_the_first_version_pins_the_same(name: str) -> None:
    text = (FILES / f"images/{name}/weights.lock").read_text()
    file = upgraded(text, "x.lock")
    words = text.replace('"licence":', '"license":').replace('"packed":', '"zstd_ratio":')
    assert file.text == lock_text({**json.loads(words), "schema": 2})
    assert sorted(parse_lock(file.text, "x.lock").checkpoints) == sorted(json.loads(text)["checkpoints"])
    assert upgraded(file.text, "x.lock").changes == ()


def test_every_name_is_changed_where_it_stands_and_nowhere_else() -> None:
    file = upgraded(EVERY_NAME)
    for line in (
        '"schema": 2   # one',
        'title: "outside: a title, announce"',
        "system_packages: [libgl1]",
        "fallback: warn",
        "compiled: {cuda: 'auto'}",
        "    license: &mit {id: MIT, requires_acceptance: true, text: README.md}",
        "    'license': *mit",
        "    precision: {type: fp16, max_relative_error: 0.02}",
        "    overflow : dynamic",
        "  other: {folder: net, <<: *net}",
        '    precision: &p {type: int4, block_size: 32, max_relative_error: !!float "0.5"}',
        "# every name that changed; `outside: error` in a comment stays",
    ):
        assert line in file.text.splitlines()
    assert len(file.text.splitlines()) == len(EVERY_NAME.splitlines())
    assert [change for change in file.changes if change.startswith("line 13")] == [
        "line 13: checkpoints.a.licence: licence -> license",
        "line 13: checkpoints.a.licence.acceptance: acceptance -> requires_acceptance",
    ]


def test_a_file_is_read_with_its_windows_line_ends() -> None:
    file = upgraded(EVERY_NAME.replace("\n", "\r\n"))
    assert file.text == upgraded(EVERY_NAME).text.replace("\n", "\r\n")


def test_an_image_that_has_some_of_the_newer_names_already_is_upgraded() -> None:
    text = (FILES / "images/foley/image.yaml").read_text().replace("licence:", "license:")
    assert upgraded(text).text == upgraded((FILES / "images/foley/image.yaml").read_text()).text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("schema: 1\n{", "x.yaml:2: is not YAML"),
        ("", "x.yaml:1: is empty"),
        ("- 1\n", "x.yaml:1: is not a mapping"),
        ("name: tiny\n", "x.yaml:1 schema: is missing"),
        ("\nschema: 3\n", "x.yaml:2 schema: was written for a newer Prebake: schema 3"),
        ("schema: true\n", "x.yaml:1 schema: should be a number from 1 to 2, found True"),
        ("schema: 1\nname: a\nname: b\n", "x.yaml:3 name: is given twice"),
        ("schema: 1\nsystem: []\nsystem_packages: []\n", "x.yaml:2 system: is given together with system_packages"),
        ('schema: 1\n"sys\\x74em": []\n', "x.yaml:2 system: writes 'system' with escapes"),
        ("schema: 1\ntitle: &t announce\nfallback: *t\n", "x.yaml: shares a value by an alias"),
    ],
)
def test_a_file_that_cannot_be_rewritten_says_why_and_where(text: str, problem: str) -> None:
    file, problems = upgrade_image(text, "x.yaml")
    assert file is None
    assert str(problems[0]).startswith(problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{\n{", "x.lock:2: is not JSON"),
        ('{"schema": 1, "schema": 1}', "x.lock: 'schema' is given twice"),
        ('{"schema": 1, "x": "\\ud800"}', "x.lock: has half of a surrogate pair"),
        ('{"schema": 1, "checkpoints": []}', "x.lock: checkpoints: should be a mapping"),
        (
            '{"schema": 1, "checkpoints": {"a": {"licence": "", "license": ""}}}',
            "x.lock: checkpoints.a: has both licence and license",
        ),
        ("[]", "x.lock:1: is not a mapping"),
        ('{"schema": 9}', "x.lock:1 schema: was written for a newer Prebake"),
        ('{"schema": 1, "checkpoints": {"a": {"files": [{"licence": 3}]}}}', "x.lock: a[0]: path should be str"),
    ],
)
def test_a_lock_that_cannot_be_rewritten_says_why(text: str, problem: str) -> None:
    file, problems = upgrade_lock(text, "x.lock")
    assert file is None
    assert str(problems[0]).startswith(problem)
