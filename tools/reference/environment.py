"""docs/reference/environment.md: the environment variables of the tool and of the container.

``tests/integration/reference/test_environment.py`` compares these tables with the variables that the code reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from entrypoints.server.tracing.settings import VARIABLES as TELEMETRY
from entrypoints.settings import RENAMED, VARIABLES, Settings, Values
from tools.reference.markdown import code, codes, page, table

Variables = tuple[str, ...]


class ToolVariable(NamedTuple):
    """Variables of one meaning."""

    names: Variables
    meaning: str


class ContainerVariable(NamedTuple):
    """A variable that a start reads into the field ``setting`` of ``entrypoints.settings.Settings``. ``values``: two numbers are
    the smallest and the largest that are accepted; words are all that are accepted."""

    name: str
    setting: str
    values: Values
    meaning: str


PREBAKE: Sequence[ToolVariable] = (
    ToolVariable(
        ("PREBAKE_CACHE",),
        "The folder of the store, the private Engine and the base image (default: `$XDG_CACHE_HOME/prebake`, else "
        "`~/.cache/prebake`).",
    ),
    ToolVariable(("XDG_CACHE_HOME",), "The folder of every program's caches, if `PREBAKE_CACHE` is not set."),
    ToolVariable(
        ("PREBAKE_ACCEPT_LICENSE",), "Accepted licenses, separated by commas; `--accept-license` adds to them."
    ),
    ToolVariable(
        ("PREBAKE_ACCEPT_LICENCE",),
        "Refused with exit code 2: another spelling of `PREBAKE_ACCEPT_LICENSE`, which would have no effect.",
    ),
    ToolVariable(
        ("PREBAKE_STARTS",),
        "The number of timed starts of a build (default: 3; 0 for none), if `--starts` is not given.",
    ),
    ToolVariable(
        ("PREBAKE_BUILDER",),
        "The URI by which an image's [provenance](../concepts/metadata.md#provenance) names the builder: who made the "
        "image.",
    ),
    ToolVariable(
        ("PREBAKE_INSECURE_REGISTRIES",),
        "Hosts of registries that Prebake talks to by plain http, separated by commas. Registries on loopback need no "
        "entry.",
    ),
    ToolVariable(
        ("PREBAKE_UPLOAD",),
        "How a blob is pushed: `auto` (the default: in one request, and in chunks only after a refusal), `whole`, or "
        "the size of chunks, such as `64MiB` ([layers](../concepts/layers.md#how-blobs-are-uploaded)).",
    ),
    ToolVariable(
        ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"),
        "Where Prebake looks for the credentials of registries: podman's `auth.json` "
        "([sources](../concepts/sources.md#credentials-for-registries)). A rootless Engine's socket is in "
        "`XDG_RUNTIME_DIR`, too.",
    ),
    ToolVariable(
        ("PREBAKE_DEBIAN_MIRRORS",),
        "URLs of Debian archives that Prebake asks first for system packages, separated by blanks.",
    ),
    ToolVariable(
        ("SOURCE_DATE_EPOCH",), "The [time](../concepts/metadata.md#time) of the image, in seconds since 1970."
    ),
    ToolVariable(
        ("PREBAKE_ERROR_FILE",),
        "A file that a command which fails writes its error to, as JSON ([build in CI](../build-in-ci.md#errors-as-json)). "
        "A command that does not fail removes it.",
    ),
    ToolVariable(("NO_COLOR", "FORCE_COLOR"), "No color on stderr; color even if stderr is no terminal."),
)

DOCKER: Sequence[ToolVariable] = (
    ToolVariable(("DOCKER_HOST",), "The Engine. Prebake looks for no other one then."),
    ToolVariable(
        ("DOCKER_CONTEXT",), "The Docker context whose Engine Prebake tries first, if `DOCKER_HOST` is not set."
    ),
    ToolVariable(("DOCKER_CONFIG",), "The folder of Docker's `config.json`: credentials, contexts, plugins."),
    ToolVariable(
        ("BUILDX_BUILDER",),
        "The builder of the Dockerfile's stages (`docker buildx ls`); without it, the Engine's built-in builder.",
    ),
    ToolVariable(("BUILDX_CONFIG",), "The folder of the builders' settings."),
    ToolVariable(
        ("DOCKER_DEFAULT_PLATFORM",),
        "The platform of the image, which has to be the Engine's, if `--platform` is not given.",
    ),
)

PACKAGES: Sequence[ToolVariable] = (
    ToolVariable(("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"), "The package indexes; the build gets them as a secret."),
    ToolVariable(("PIP_FIND_LINKS",), "A folder of wheels; the build gets it as a named context of BuildKit."),
    ToolVariable(
        (
            "PIP_TRUSTED_HOST",
            "PIP_PROXY",
            "PIP_DEFAULT_TIMEOUT",
            "PIP_TIMEOUT",
            "PIP_RETRIES",
            "PIP_NO_INDEX",
            "PIP_CLIENT_CERT",
        ),
        "pip's options for the network; the build gets them as secrets.",
    ),
    ToolVariable(("NETRC",), "A file of logins (default: `~/.netrc`); the build gets it as a secret."),
    ToolVariable(
        ("PIP_CONFIG_FILE", "VIRTUAL_ENV", "XDG_CONFIG_HOME", "XDG_CONFIG_DIRS"),
        "Where pip's configuration files are: Prebake looks for them as pip does.",
    ),
    ToolVariable(
        ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
        "The CA bundle: the first of these that is set. The build gets it as a secret.",
    ),
)

CI: Sequence[ToolVariable] = (
    ToolVariable(
        (
            "GITHUB_SERVER_URL",
            "GITHUB_REPOSITORY",
            "GITHUB_SHA",
            "GITHUB_REF",
            "GITHUB_REF_NAME",
            "GITHUB_REF_TYPE",
        ),
        "GitHub Actions: the image's [labels](../concepts/metadata.md#labels) and provenance.",
    ),
    ToolVariable(
        ("GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_WORKFLOW_REF"),
        "GitHub Actions: run and builder in the provenance.",
    ),
    ToolVariable(
        ("CI_PROJECT_URL", "CI_COMMIT_SHA", "CI_COMMIT_TAG", "CI_COMMIT_BRANCH", "CI_COMMIT_REF_NAME"),
        "GitLab CI: the image's labels and provenance.",
    ),
    ToolVariable(("CI_JOB_URL", "CI_RUNNER_ID"), "GitLab CI: run and builder in the provenance."),
)

STAGES: Sequence[ToolVariable] = (
    ToolVariable(
        ("CXX",),
        "The C++ compiler that AOTInductor uses (default: `g++`). With `prebake compile --no-engine` it is this "
        "machine's.",
    ),
)

TOOL: Sequence[ToolVariable] = (*PREBAKE, *DOCKER, *PACKAGES, *CI, *STAGES)

MEANINGS: Mapping[str, str] = {
    "PREBAKE_MODELS": "The folder with `manifest.json`.",
    "PREBAKE_HOST": "The address that the server listens at. Without the variable: every address of the container, of "
    "IPv6 and of IPv4; of IPv4 alone if the kernel has no IPv6.",
    "PREBAKE_PORT": "The port that the server listens at. 0: a free port; the events `live` and `ready` of the "
    "[log](../operate.md#logs) have it. Without the variable `PORT` counts, then `AIP_HTTP_PORT` (Vertex AI), then "
    "`SAGEMAKER_BIND_TO_PORT`.",
    "PREBAKE_GRPC_PORT": "The port of [gRPC](endpoints.md#grpc), at the same address. 0: a free port; the event `grpc live` of "
    "the log has it. An image with `serving: {grpc: true}` sets the variable to 8001; in other images it ends the start with 78.",
    "PREBAKE_THREADS": "Threads of each ONNX Runtime session, or of torch. 0: the number of CPUs that the container may use, by "
    "its affinity and by the quota of its control group (`cpu.max`, or `cpu.cfs_quota_us` of version 1).",
    "PREBAKE_WORKERS": "The number of requests that the model works on at the same time; 0 means 1.",
    "PREBAKE_BATCH_SIZE": "The most that a [batch](../concepts/serving.md#batches) of requests may have, in the model's own "
    "measure. 0, or more than the model allows: the model's limit. 1: requests are answered one by one.",
    "PREBAKE_BATCH_WAIT": "Seconds after a batch in which the clients that it answered may ask again, before the next batch "
    "begins with fewer requests than were in flight. -1: the model's. A client that is alone never waits.",
    "PREBAKE_VERIFY": "How the content of files is verified "
    "([what is verified](../concepts/startup.md#what-is-verified)).",
    "PREBAKE_FALLBACK": "`warn`: a start may open a component in a slower way than the best one of the image "
    "([fallback](../concepts/startup.md#the-fallback-order)). `error`: such a start ends with code 79. Without the "
    "variable, `fallback` of [image.yaml](image-yaml.md) decides.",
    "PREBAKE_START_TIMEOUT": "Seconds from the start of the process until a start that is not ready fails with code 86; "
    "0: never. The reason has the phases that still run, the log the stacks of all threads.",
    "PREBAKE_GRACE_PERIOD": "Seconds that requests in flight have after SIGTERM. The default is below Kubernetes' 30 and above "
    "the 10 of `docker stop`; `prebake deploy` sets it together with the Pod's grace period.",
    "PREBAKE_HEARTBEAT": "Seconds without an event until an [event stream](../concepts/serving.md) gets a comment; 0: never.",
    "PREBAKE_FAILURE_EXIT_DELAY": "Seconds after a fault until the process ends, so that `/health` can be read.",
    "PREBAKE_HANG_MARGIN": "Seconds after a request's deadline (`limits.seconds` of [image.yaml](image-yaml.md)) in which the "
    "model may still stop. A model that works on is ended, and the container ends with code 87.",
    "PREBAKE_MEMORY_CHECK": "`error`: a start ends with code 85 if the memory limit is below the sum of the weights and the "
    "runtimes ([memory](../operate.md#memory)). `warn`: it logs the sum and goes on.",
    "PREBAKE_REQUEST_MEMORY": "Memory that all requests together may take, such as `512Mi`: half of it for bodies as they come, "
    "half for what they become. Without the variable: a share of the memory that is free once the model is ready.",
    "PREBAKE_MAX_CONNECTIONS": "Connections of clients that may be open; 0: as many as the limit of open files allows. At "
    "least a quarter of that limit, and 64, stay free. A new connection replaces the oldest idle one; if there is none, it gets "
    "status 503, except for health checks and metrics.",
    "PREBAKE_ACCESS_LOG": "A line of JSON on stderr for each request. `on`: health checks and `/metrics` have one only if they "
    "fail. `all`: they have one, too. `off`: no request has one.",
    "PREBAKE_ALLOWED_HOSTS": "Values of `Host` that a POST may have, such as `example.com`, `example.com:8000` or "
    "`*.example.com`; another one gets status 421. Without the variable every host may be named.",
    "PREBAKE_ALLOWED_ORIGINS": "Web pages that may send a POST besides the server's own, such as `https://example.com`, "
    "`example.com` or `*.example.com`; `*`: any. The `Origin` of other pages gets status 403.",
    "AIP_HEALTH_ROUTE": "Another path of `/v2/health/ready`. Vertex AI sets it.",
    "AIP_PREDICT_ROUTE": "Another path of `/generate`, which takes lists of instances, too. Vertex AI sets it.",
    "PREBAKE_ADMIN_TOKEN": "What a client has to send with a request that loads, unloads or clears something. Without the "
    "variable nobody may. The token is never shown; blanks and line ends around it do not count.",
    "PREBAKE_IMAGE_DIGEST": "The digest of the image that runs, such as `sha256:…`, for the label `digest` of "
    "[`prebake_build_info`](metrics.md) and for traces: an image cannot contain its own. `prebake deploy` sets it.",
    "PREBAKE_MODE": "`performance`: everything is loaded at the start and stays in memory, whatever the next variables say; each "
    "bucket runs before the container is ready; and graphs on a CPU get prepacked copies of their weights "
    "([performance mode](../concepts/residency.md#performance-mode)). The default is `mode` of [image.yaml](image-yaml.md).",
    "PREBAKE_PRELOAD": "The models that a start loads: `all`, `lazy` for none, or names; requests load the others "
    "([what stays in memory](../concepts/residency.md)). The default is `preload` of [image.yaml](image-yaml.md), if it is set.",
    "PREBAKE_PIN": "Models that are never unloaded by themselves, or components that are never closed (`MODEL/COMPONENT` in an "
    "image of several models).",
    "PREBAKE_IDLE_SECONDS": "A model is unloaded if no request came for so many seconds; 0: never.",
    "PREBAKE_HOST_MEMORY": "What weights and model processes may take, such as `4Gi`. Beyond it, the least recently used model "
    "makes room for another; in one model, the least recently used component. 0: no budget.",
    "PREBAKE_DEVICE_MEMORY": "The same for weights in the GPU's memory.",
    "PREBAKE_MODEL_NAMES": "The models of an image of "
    "[several models](../concepts/serving.md#several-models-behind-one-server), which sets the variable itself.",
}
"""By variable of ``entrypoints.settings.VARIABLES``."""

CONTAINER: Sequence[ContainerVariable] = [
    ContainerVariable(name, *VARIABLES[name], MEANINGS[name]) for name in VARIABLES
]

PRESET: Sequence[tuple[str, str, str]] = (
    (
        "ORT_DISABLE_TELEMETRY",
        "1",
        "ONNX Runtime sends no telemetry. From 1.29 on it does by default on Linux: it writes a device's name and a "
        "database under `$HOME`, and sends events over the network.",
    ),
    (
        "OPENBLAS_THREAD_TIMEOUT",
        "4",
        "OpenBLAS's threads sleep at once after numpy is imported, instead of spinning for 30 ms on a second core.",
    ),
)
"""Variables that a start sets for libraries if they are not set: name, value and effect."""


def write_page() -> str:
    return page(
        "Environment variables",
        "## The tool",
        """
`prebake` and `python build.py` read these variables. Those of the hubs and buckets are in
[sources](../concepts/sources.md#settings-of-each-kind-of-source).""",
        _tool_table(PREBAKE),
        "### Docker",
        _tool_table(DOCKER),
        "### Python packages",
        _tool_table(PACKAGES),
        """
The variables of proxies (`http_proxy`, `https_proxy`, `no_proxy`, `all_proxy`, in lower-case or upper-case letters) and
`proxies` of Docker's `config.json` reach the build as well.""",
        "### CI",
        _tool_table(CI),
        "### In the stages",
        _tool_table(STAGES),
        "## The container",
        """
The container reads its variables once, at its start. If a value is not accepted, or an earlier name is set, the start ends
with exit code 78 and lists every problem. An empty variable counts as not set. Names that begin with `PREBAKE_` and are not
in this table have no effect; the [log](../operate.md#logs) has one warning (event `unknown variables`) with the nearest known
name. Variables that Kubernetes sets for a Service named `prebake…` are left out.""",
        table(
            ("variable", "default", "values", "meaning"),
            [(code(each.name), _container_default(each), _container_values(each), each.meaning) for each in CONTAINER],
        ),
        "A start that finds one of these earlier names ends with exit code 78, and the message has the present name:",
        table(("earlier name", "present name"), [(code(old), code(new)) for old, new in RENAMED.items()]),
        "### OpenTelemetry",
        """
With an endpoint, the container sends [traces](../operate.md#traces). It reads these of OpenTelemetry's standard variables. As
the specification asks, a value that is wrong does not end the start: the log has a warning (event `telemetry settings`).""",
        table(
            ("variable", "meaning"),
            [(code(name), f"{meaning[:1].upper()}{meaning[1:]}.") for name, meaning in TELEMETRY.items()],
        ),
        "### Variables for libraries",
        "The container sets these variables for its libraries, unless you set them:",
        table(("variable", "value", "effect"), [(code(name), code(value), effect) for name, value, effect in PRESET]),
    )


def _tool_table(variables: Sequence[ToolVariable]) -> str:
    return table(("variable", "meaning"), [(codes(each.names), each.meaning) for each in variables])


def _container_default(variable: ContainerVariable) -> str:
    default = Settings._field_defaults[variable.setting]
    return code(f"{default:g}" if isinstance(default, float) else str(default)) if default not in ("", ()) else ""


def _container_values(variable: ContainerVariable) -> str:
    match variable.values:
        case str(text):
            return text
        case (int(smallest), int(largest)):
            kind = "a whole number" if isinstance(Settings._field_defaults[variable.setting], int) else "a number"
            return f"{kind} from {smallest} to {largest}"
        case words:
            return codes(map(str, words))
