"""The environment, read once into a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from entrypoints.errors import SettingsFault

PREFIX = "PREBAKE_"
SECRETS = ("PREBAKE_ADMIN_TOKEN", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS")
"""Secrets. They are removed from the environment before the model's code runs."""
RENAMED = {
    "PREBAKE_FAULT_LINGER": "PREBAKE_FAILURE_EXIT_DELAY",
    "PREBAKE_GRACE": "PREBAKE_GRACE_PERIOD",
    "PREBAKE_MEMBERS": "PREBAKE_MODEL_NAMES",
}
"""Earlier names of variables. A start ends if one is set: a server that ignored it would run with other settings."""


class Settings(NamedTuple):
    """The settings of this container. A named tuple, because importing dataclasses before the bind costs 5 ms."""

    models: str = "/models"
    """The folder with ``manifest.json``."""
    host: str = ""
    """Empty: all addresses of the container, of IPv6 and of IPv4. Once the socket is bound: its address."""
    port: int = 8000
    """0: a free port. Once the socket is bound: its port."""
    grpc_port: int = -1
    """The port of gRPC; 0: a free one; -1: none. An image with ``serving: {grpc: true}`` sets the variable to 8001."""
    threads: int = 0
    """The threads of each ONNX Runtime session, or of torch; 0: as many as the processors that the container may use."""
    workers: int = 1
    """Requests that the model works on at once."""
    batch_size: int = 0
    """The most that a batch may have, if the model allows so much; 0: the model's limit, 1: no batches."""
    batch_wait: float = -1.0
    """As ``entrypoints.contract.Batch.wait``; -1: the model's."""
    verify: str = "full"
    fallback: str = ""
    """``warn`` or ``error``; empty: the image's setting."""
    start_timeout: float = 1800.0
    """Seconds until a start that has not ended fails; 0: it may take as long as it takes."""
    memory_check: str = "error"
    """``warn``: start although the memory limit cannot hold the weights."""
    request_memory: int = 0
    """Bytes that all requests together may take; 0: a share of the free memory."""
    failure_exit_delay: float = 10.0
    """Seconds until a failed server ends, so that ``/health`` can be read."""
    grace_period: float = 25.0
    """Seconds that requests in flight have after SIGTERM."""
    heartbeat: float = 10.0
    """Seconds without an event until an event stream gets a comment; 0: never."""
    hang_margin: float = 30.0
    """Seconds after a request's deadline until a model that still works on it counts as hung."""
    admin_token: str = ""
    """The token that a client sends to load, unload or clear something; empty: no client may. Never shown."""
    max_connections: int = 4096
    """Connections that may be open; 0, or if the limit of open files is low: as many as that limit allows."""
    access_log: str = "on"
    """``on``: a line for each request, except for health checks that succeed. ``all``: for those too."""
    allowed_hosts: tuple[str, ...] = ()
    """Values of the Host header that a POST may have; none: any."""
    allowed_origins: tuple[str, ...] = ()
    """Origins of web pages that may send a POST, besides the server's own; ``*``: any."""
    health_route: str = ""
    """Vertex AI's name of ``/v2/health/ready``."""
    predict_route: str = ""
    """Vertex AI's name of ``/generate``; in JSON it takes lists of instances, too."""
    image_digest: str = ""
    """The digest of the image that runs, for its metrics and traces: an image cannot contain its own."""
    model_names: tuple[str, ...] = ()
    """Empty if the image has one model. The image sets the variable."""
    mode: str = "standard"
    """``performance``: everything stays in memory, in the form that later answers take the least time with."""
    preload: tuple[str, ...] = ("all",)
    """The models that a start loads: ``all``, ``lazy`` for none, or names. Requests load the others."""
    pin: tuple[str, ...] = ()
    """Models that are never unloaded but by an operator; or components, ``MODEL/COMPONENT`` in an image of several models."""
    idle_seconds: float = 0.0
    """A model is unloaded if no request came for so long; 0: never."""
    host_memory: int = 0
    """Bytes for weights and model processes; 0: no budget. Beyond it, the least recently used model or component makes room."""
    device_memory: int = 0
    """The same for the weights in the GPU's memory."""

    telemetry: tuple[tuple[str, str], ...] = ()
    """OpenTelemetry's variables and their texts, if an endpoint for traces is set; ``entrypoints.server.tracing.settings`` reads
    them. Never shown: the headers are secret."""

    def __repr__(self) -> str:
        """Without secrets."""
        hidden = ("admin_token", "telemetry")
        shown = (f"{name}={value!r}" for name, value in self._asdict().items() if name not in hidden)
        return f"Settings({', '.join(shown)})"

    def find_pinned(self, model: str) -> tuple[str, ...]:
        """The components of a model that are never closed. ``model`` is empty if the image has one."""
        if not model:
            return self.pin
        return tuple(name.removeprefix(f"{model}/") for name in self.pin if name.startswith(f"{model}/"))

    def list_together(self, model: str) -> tuple[str, ...] | None:
        """The models that are certainly in memory at the same time as this one, itself included; None: all of the image."""
        if self.preload == ("all",) and not self.host_memory:
            return None
        return tuple(name for name in self.model_names if name == model or name in self.pin)

    @property
    def manages_memory(self) -> bool:
        """Whether a start may have to leave some models out."""
        return self.preload != ("all",) or bool(self.pin or self.host_memory or self.device_memory)

    @property
    def address(self) -> str:
        """The address of the bound socket, as a URL."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


Values = str | tuple[str, ...] | tuple[float, float]
"""What a variable may be: any text (a description of it), one of several words, or a number from a smallest to a largest one."""

BYTES = "bytes, or a number with Ki, Mi, Gi, Ti, k, M, G or T"
A_PATH = "a path that begins with /"

VARIABLES: Mapping[str, tuple[str, Values]] = {
    "PREBAKE_MODELS": ("models", "a folder"),
    "PREBAKE_HOST": ("host", "an address"),
    "PREBAKE_PORT": ("port", (0, 65535)),
    "PREBAKE_GRPC_PORT": ("grpc_port", (0, 65535)),
    "PREBAKE_THREADS": ("threads", (0, 1024)),
    "PREBAKE_WORKERS": ("workers", (0, 64)),
    "PREBAKE_BATCH_SIZE": ("batch_size", (0, 65536)),
    "PREBAKE_BATCH_WAIT": ("batch_wait", (-1, 10)),
    "PREBAKE_VERIFY": ("verify", ("full", "sha256", "sizes")),
    "PREBAKE_FALLBACK": ("fallback", ("warn", "error")),
    "PREBAKE_MEMORY_CHECK": ("memory_check", ("warn", "error")),
    "PREBAKE_REQUEST_MEMORY": ("request_memory", BYTES),
    "PREBAKE_START_TIMEOUT": ("start_timeout", (0, 86400)),
    "PREBAKE_FAILURE_EXIT_DELAY": ("failure_exit_delay", (0, 3600)),
    "PREBAKE_GRACE_PERIOD": ("grace_period", (0, 86400)),
    "PREBAKE_HEARTBEAT": ("heartbeat", (0, 3600)),
    "PREBAKE_HANG_MARGIN": ("hang_margin", (0, 86400)),
    "PREBAKE_ADMIN_TOKEN": ("admin_token", "a secret"),
    "PREBAKE_MAX_CONNECTIONS": ("max_connections", (0, 1_000_000)),
    "PREBAKE_ACCESS_LOG": ("access_log", ("on", "all", "off")),
    "PREBAKE_ALLOWED_HOSTS": ("allowed_hosts", "hosts, separated by commas"),
    "PREBAKE_ALLOWED_ORIGINS": ("allowed_origins", "origins, separated by commas"),
    "AIP_HEALTH_ROUTE": ("health_route", A_PATH),
    "AIP_PREDICT_ROUTE": ("predict_route", A_PATH),
    "PREBAKE_IMAGE_DIGEST": ("image_digest", "a digest"),
    "PREBAKE_MODEL_NAMES": ("model_names", "names, separated by commas"),
    "PREBAKE_MODE": ("mode", ("standard", "performance")),
    "PREBAKE_PRELOAD": ("preload", "all, lazy, or names of models, separated by commas"),
    "PREBAKE_PIN": ("pin", "names of models or components, separated by commas"),
    "PREBAKE_IDLE_SECONDS": ("idle_seconds", (0, 31_536_000)),
    "PREBAKE_HOST_MEMORY": ("host_memory", BYTES),
    "PREBAKE_DEVICE_MEMORY": ("device_memory", BYTES),
}
"""By variable, its field of ``Settings`` and its values. ``read_settings`` reads these and no others."""
TRACE_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
OTHER_NAMES = {"PREBAKE_PORT": ("PORT", "AIP_HTTP_PORT", "SAGEMAKER_BIND_TO_PORT")}
"""Variables that platforms set. The first that is set counts if ours is not set."""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the variables. An empty one counts as not set. Raises SettingsFault with every problem."""
    problems = [f"{old}: was renamed to {new}" for old, new in RENAMED.items() if old in environ]
    values: dict[str, Any] = {}
    for name, (field, accepted) in VARIABLES.items():
        source, text = find_text(environ, name)
        if text:
            try:
                values[field] = convert(text, accepted, Settings._field_defaults[field])
            except ValueError as error:
                problems.append(f"{source}={text[:100]!r}: give {error}")
    if problems:
        raise SettingsFault(problems)
    settings = Settings(**values, telemetry=read_telemetry(environ))
    if settings.mode == "performance":
        settings = settings._replace(preload=("all",), idle_seconds=0.0, host_memory=0, device_memory=0)
    return settings._replace(workers=max(1, settings.workers), admin_token=settings.admin_token.strip())


def read_telemetry(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """None without an endpoint for traces."""
    if not any(environ.get(name) for name in TRACE_ENDPOINTS):
        return ()
    return tuple((name, text) for name, text in environ.items() if name.startswith("OTEL_") and text)


def find_text(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """The name of the variable that counts, and its text."""
    text = environ.get(name, "")
    if name in OTHER_NAMES and (not text or is_service_link(name, text)):
        name = next((other for other in OTHER_NAMES[name] if environ.get(other)), OTHER_NAMES[name][0])
        text = environ.get(name, "")
    return name, text


def convert(text: str, accepted: Values, default: object) -> object:
    """The value of a field. Raises ValueError with what to give instead."""
    if isinstance(accepted, str) and isinstance(default, int):
        from entrypoints.hardware.container_memory import parse_bytes  # late: most containers do not set a size

        try:
            return parse_bytes(text)
        except ValueError:
            raise ValueError(accepted) from None
    if accepted == A_PATH and not text.startswith("/"):
        raise ValueError(A_PATH)
    if isinstance(accepted, str):
        return (
            tuple(entry.strip() for entry in text.split(",") if entry.strip()) if isinstance(default, tuple) else text
        )
    smallest, largest = accepted[0], accepted[-1]
    if isinstance(smallest, str) or isinstance(largest, str):
        if text not in accepted:
            raise ValueError(f"{', '.join(map(str, accepted[:-1]))} or {largest}")
        return text
    whole = isinstance(default, int)
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = smallest - 1
    if not smallest <= value <= largest:
        raise ValueError(f"{'a whole number' if whole else 'a number'} from {smallest:g} to {largest:g}")
    return value


def find_unknown(environ: Mapping[str, str]) -> list[str]:
    """Names like ours that no start reads."""
    names = [name for name in environ if name[: len(PREFIX)].upper() == PREFIX and name not in VARIABLES]
    return [name for name in names if not is_service_link(name, environ[name])] if names else []


def is_service_link(name: str, text: str) -> bool:
    """Whether Kubernetes set the variable, for a Service whose name begins with "prebake" (the Service "prebake" sets
    ``PREBAKE_PORT=tcp://10.0.0.1:8000``)."""
    return text.startswith(("tcp://", "udp://", "sctp://")) or any(
        part in name for part in ("_SERVICE_HOST", "_SERVICE_PORT", "_TCP_", "_UDP_", "_SCTP_")
    )


def describe_unknown(names: Iterable[str]) -> str:
    """One sentence for each name. The prefix, which all names have, does not make two of them alike."""
    from difflib import get_close_matches  # late: a start without such a name does not need it

    known = {name.removeprefix(PREFIX): name for name in VARIABLES}
    sentences = []
    for name in names:
        close = get_close_matches(name[len(PREFIX) :].upper(), known, n=1)
        hint = f": did you mean {known[close[0]]}?" if close else "."
        sentences.append(f"{name} is no variable of this container and has no effect{hint}")
    return " ".join(sentences)
