"""The ``--from`` of ``prebake init``: a local path, or a source of ``image.yaml`` and perhaps one file of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from prebake.errors import SpecInvalid
from prebake.spec.reader import parse_source
from prebake.workflow.init.recognizers.recognizer import InitRefused

FORMS = (
    "hub:[OWNER/]NAME[/FILE][@REVISION], modelscope:OWNER/NAME[/FILE][@REVISION], s3://BUCKET/…, gs://BUCKET/…, "
    "oci:HOST/PATH:TAG or the URL of a file"
)
_KINDS = ("hub", "modelscope", "s3", "gs", "oci", "http")
_BRANCHES = {"hub": "main", "modelscope": "master"}  # the default branches
_FILE = re.compile(r".+\.(onnx|pt2|pt|pth|ts|torchscript|safetensors|bin)")
# A revision with a file behind it, as the hub's own library writes it: owner/name@refs/pr/1/onnx/model.onnx
_REVISION_AND_FILE = re.compile(r"(refs/(?:pr|convert)/[^/]+|[^/]+)/(.+)")


@dataclass(frozen=True)
class Origin:
    """``source`` has the fields of a spec's source; ``file`` is a file or folder of it, empty for all files."""

    source: Mapping[str, str]
    file: str = ""


def parse_origin(text: str) -> tuple[Origin, ...]:
    """The possible origins, the most likely one first; none for a path.

    A hub's repository may have no owner, so ``hub:a/b/c`` is a file of ``a/b``, or else a file of ``a``. Raises InitRefused if
    the text begins like a source but is not one.
    """
    kind, colon, rest = text.partition(":")
    kind = "http" if kind == "https" else kind
    if not colon or kind not in _KINDS:
        return ()
    if kind in _BRANCHES:
        found = _repositories(kind, rest)
    elif kind == "oci":
        found = [Origin({"from": kind, "reference": rest})]
    else:
        found = [_bucket_or_url(kind, text)]
    readings = tuple(origin for origin in found if _is_source(origin))
    if not readings:
        raise InitRefused(f"{text} is not a valid {kind} source.", next_action=f"give a path, {FORMS}")
    return readings


def _repositories(kind: str, text: str) -> list[Origin]:
    path, _, revision = text.partition("@")
    words, file = path.split("/"), ""
    if (match := _REVISION_AND_FILE.fullmatch(revision)) is not None and _FILE.fullmatch(revision):
        revision, file = match[1], match[2]

    def origin(owned: int) -> Origin:
        fields = {"repository": "/".join(words[:owned]), "revision": revision or _BRANCHES[kind]}
        return Origin({"from": kind, **fields}, "/".join([*words[owned:], *([file] if file else [])]))

    alone = len(words) > 2 or (len(words) == 2 and _FILE.fullmatch(words[1]) is not None)
    return [origin(2), *([origin(1)] if kind == "hub" and alone else [])]


def _bucket_or_url(kind: str, url: str) -> Origin:
    """A bucket's last path element is a file if it has a file's suffix; the URL of a web server is always one file."""
    folder, _, name = url.rpartition("/")
    if kind != "http" and _FILE.fullmatch(name) and not folder.endswith("/"):
        return Origin({"from": kind, "url": folder}, name)
    return Origin({"from": kind, "url": url})


def _is_source(origin: Origin) -> bool:
    try:
        parse_source({**origin.source, "files": ("any",)})
    except SpecInvalid:
        return False
    return True
