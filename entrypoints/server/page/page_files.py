"""The files of the page, which browsers get at ``/`` and below ``/page/``. Each is read from the disk when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from entrypoints.response import Response, error_response

FOLDER = Path(__file__).resolve().parents[2] / "page"
PREFIX = "/page/"
ROUTE = "/page/{file}"
INDEX = "index.html"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",  # blob: what the model answered
        "media-src blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",  # an image that replaces another at this address brings its own files
}


def find_page(path: str, headers: Mapping[bytes, bytes]) -> Response | None:
    """The answer to a GET of ``/`` or of a path below ``/page/``; None if the client of ``/`` is a program, which gets JSON."""
    if path == "/":
        if not prefers_html(headers.get(b"accept", b"").decode("latin-1")):
            return None
        return read_page_file(INDEX, {"vary": "accept"})
    return read_page_file(path.removeprefix(PREFIX))


def read_page_file(name: str, headers: Mapping[str, str] | None = None) -> Response:
    """404 for a name that no file of the folder has; the name leads to no other folder."""
    file = FOLDER / name
    media_type = MEDIA_TYPES.get(file.suffix)
    if "/" in name or media_type is None or not file.is_file():
        return error_response(404, f"The page has no file {name[:60]!r}.")
    return Response(200, file.read_bytes(), media_type, {**HEADERS, **(headers or {})})


def prefers_html(accept: str) -> bool:
    """Whether an Accept header (RFC 9110, section 12.5.1) names HTML, as browsers do, and no form of JSON as much or more.
    ``*/*`` names neither: programs send it."""
    weights = {"text/html": 0.0, "application/json": 0.0}
    for entry in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        if kind in weights:
            weights[kind] = max(weights[kind], read_weight(parameters))
    return weights["text/html"] > weights["application/json"]


def read_weight(parameters: list[str]) -> float:
    """``q`` of an entry; 1 without it, 0 if it is no number."""
    text = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    try:
        return float(text)
    except ValueError:
        return 0.0
