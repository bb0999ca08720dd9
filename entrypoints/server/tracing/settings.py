"""The standard variables of OpenTelemetry, as far as this container has what they set.

Source: OpenTelemetry's specification, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

TRACES_PATH = "/v1/traces"
PROTOCOL = "http/json"
DEFAULT_SECONDS = 10.0
SAMPLERS = ("always_on", "always_off", "traceidratio")
PARENT_BASED = "parentbased_"
VARIABLES: Mapping[str, str] = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "the URL of a collector; `/v1/traces` is appended. Without an endpoint there are no traces, "
    "and the other variables have no effect",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "the whole URL for traces, instead",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "`http/json` is the only one. `http/protobuf` gets a warning, and JSON is sent: collectors "
    "accept both at one port. Any other gets a warning, and there are no traces",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "the same, and counts first",
    "OTEL_EXPORTER_OTLP_HEADERS": "headers of each export, `name=value` separated by commas, percent-encoded. A secret: models "
    "do not get it, and no log has it",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "the same, and counts first",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "milliseconds that one export may take (10000)",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "the same, and counts first",
    "OTEL_SERVICE_NAME": "`service.name`; otherwise that of `OTEL_RESOURCE_ATTRIBUTES`, otherwise the image's name",
    "OTEL_RESOURCE_ATTRIBUTES": "attributes of the resource, `name=value` separated by commas, percent-encoded",
    "OTEL_TRACES_SAMPLER": "`parentbased_always_on` (the default), `parentbased_always_off`, `parentbased_traceidratio`, "
    "`always_on`, `always_off` or `traceidratio`",
    "OTEL_TRACES_SAMPLER_ARG": "the ratio of `traceidratio`, from 0 to 1 (1)",
    "OTEL_TRACES_EXPORTER": "`none`: no traces; `otlp` is the default",
    "OTEL_SDK_DISABLED": "`true`: no traces",
}
"""By variable, its meaning, for the reference page."""


class TraceSettings(NamedTuple):
    scheme: str
    host: str
    port: int
    path: str
    headers: Mapping[str, str]
    """Secret."""
    seconds: float
    """That one export may take."""
    resource: Mapping[str, str]
    parent_based: bool
    """The caller's sampled flag decides if there is a caller."""
    ratio: float
    """The share of traces without a caller, or of all if not ``parent_based``, that are recorded."""

    def __repr__(self) -> str:
        """Without the headers."""
        return f"TraceSettings({self.place})"

    @property
    def place(self) -> str:
        """For messages: without a password that the URL may have."""
        return f"{self.scheme}://{self.host}:{self.port}"


class NotUsable(Exception):
    """There are no traces; the text says why."""


def read_trace_settings(variables: Mapping[str, str]) -> tuple[TraceSettings | None, list[str]]:
    """The settings, None if traces are off; and warnings."""
    warnings: list[str] = []
    if variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None, warnings
    if variables.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "none":
        return None, warnings
    try:
        check_protocol(find(variables, "PROTOCOL"), warnings)
        scheme, host, port, path = read_endpoint(variables)
    except NotUsable as error:
        return None, [*warnings, f"No traces are sent: {error}"]
    parent_based, ratio = read_sampler(variables, warnings)
    headers = read_pairs(find(variables, "HEADERS"), "OTEL_EXPORTER_OTLP_HEADERS", warnings)
    resource = read_pairs(variables.get("OTEL_RESOURCE_ATTRIBUTES", ""), "OTEL_RESOURCE_ATTRIBUTES", warnings)
    if name := variables.get("OTEL_SERVICE_NAME", "").strip():
        resource["service.name"] = name
    seconds = read_seconds(find(variables, "TIMEOUT"), warnings)
    if any(not is_header(name, value) for name, value in headers.items()):
        warnings.append("OTEL_EXPORTER_OTLP_HEADERS: a header that HTTP does not allow is left out.")
        headers = {name: value for name, value in headers.items() if is_header(name, value)}
    return TraceSettings(scheme, host, port, path, headers, seconds, resource, parent_based, ratio), warnings


def find(variables: Mapping[str, str], name: str) -> str:
    """The variable of the exporter for traces, otherwise that for all signals."""
    return (
        variables.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or variables.get(f"OTEL_EXPORTER_OTLP_{name}", "")
    ).strip()


def check_protocol(protocol: str, warnings: list[str]) -> None:
    """Raises NotUsable."""
    if protocol in ("", PROTOCOL):
        return
    variable = f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol[:50]}"
    if protocol != "http/protobuf":
        raise NotUsable(f"{variable} is not supported; set http/json, and a collector's HTTP port (4318).")
    warnings.append(
        f"{variable} is not supported; traces are sent as http/json, which collectors accept at the same port."
    )


def read_endpoint(variables: Mapping[str, str]) -> tuple[str, str, int, str]:
    """Scheme, host, port and path. Raises NotUsable."""
    whole, base = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
    name = whole if variables.get(whole) else base
    try:
        url = urlsplit(variables.get(name, "").strip())
        port = url.port
    except ValueError:
        raise NotUsable(f"{name} is not a URL.") from None
    if url.scheme not in ("http", "https") or not url.hostname:
        raise NotUsable(f"{name} is not a URL that begins with http:// or https://.")
    path = url.path if name == whole else url.path.rstrip("/") + TRACES_PATH
    if not (path + url.query).isascii() or not (path + url.query).isprintable() or " " in path + url.query:
        raise NotUsable(f"{name} has characters that a URL cannot have.")
    return (
        url.scheme,
        url.hostname,
        port or (443 if url.scheme == "https" else 80),
        (path or "/") + (f"?{url.query}" if url.query else ""),
    )


def read_sampler(variables: Mapping[str, str], warnings: list[str]) -> tuple[bool, float]:
    """Whether a caller decides, and the ratio. As the specification asks, a value that is wrong has no effect but a warning."""
    name = variables.get("OTEL_TRACES_SAMPLER", "").strip().lower() or "parentbased_always_on"
    kind = name.removeprefix(PARENT_BASED)
    if kind not in SAMPLERS:
        warnings.append(f"OTEL_TRACES_SAMPLER={name[:50]} is not supported; parentbased_always_on counts.")
        return True, 1.0
    ratio = {"always_on": 1.0, "always_off": 0.0}.get(kind)
    if ratio is None:
        ratio = read_ratio(variables.get("OTEL_TRACES_SAMPLER_ARG", "").strip(), warnings)
    return name != kind, ratio


def read_ratio(text: str, warnings: list[str]) -> float:
    try:
        ratio = float(text or 1)
    except ValueError:
        ratio = -1.0
    if 0 <= ratio <= 1:
        return ratio
    warnings.append(f"OTEL_TRACES_SAMPLER_ARG={text[:50]} is not a number from 0 to 1; 1 counts.")
    return 1.0


def read_seconds(text: str, warnings: list[str]) -> float:
    if not text:
        return DEFAULT_SECONDS
    if text.isdecimal() and 0 < int(text[:9]) <= 600_000:
        return int(text) / 1000
    warnings.append(
        f"OTEL_EXPORTER_OTLP_TIMEOUT={text[:50]} is not a number of milliseconds up to 600000; 10000 counts."
    )
    return DEFAULT_SECONDS


def read_pairs(text: str, variable: str, warnings: list[str]) -> dict[str, str]:
    """``name=value`` separated by commas, percent-encoded (W3C Baggage). The warnings have no value: it may be secret."""
    pairs = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = entry.partition("=")
        if name.strip() and equals:
            pairs[unquote(name.strip())] = unquote(value.strip())
        else:
            warnings.append(f"{variable}: an entry is not name=value, and is left out.")
    return pairs


def is_header(name: str, value: str) -> bool:
    letters = name.replace("-", "").replace("_", "").replace(".", "")
    return letters.isascii() and letters.isalnum() and value.isprintable() and value.isascii()
