"""docs/reference/environment.md: the environment variables of the tool and of the container.

``tests/integration/reference/test_environment.py`` compares these tables with the variables that the code reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from entrypoints.settings import RENAMED, Settings
from tools.reference.markdown import code, codes, page, table

Variables = tuple[str, ...]


class ToolVariable(NamedTuple):
    """Variables of one meaning."""

    names: Variables
    meaning: str


SIZE = "a number of bytes, or one with `Ki`, `Mi` or `Gi`"
"""The values of a variable of the container that is a size."""


class ContainerVariable(NamedTuple):
    """A variable that a start reads into the field ``setting`` of ``entrypoints.settings.Settings``. ``values``: two numbers are
    the smallest and the largest that are accepted; words are all that are accepted."""

    name: str
    setting: str
    values: str | tuple[str, ...] | tuple[float, float]
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

CONTAINER: Sequence[ContainerVariable] = (
    ContainerVariable("PREBAKE_MODELS", "models", "a folder", "The folder with `manifest.json`."),
    ContainerVariable("PREBAKE_HOST", "host", "an address", "The address that the server listens at."),
    ContainerVariable("PREBAKE_PORT", "port", (0, 65535), "The port that the server listens at."),
    ContainerVariable(
        "PREBAKE_THREADS",
        "threads",
        (0, 1024),
        "Threads of each ONNX Runtime session, or of torch. 0: the number of CPUs that the container may use, by its "
        "affinity and by the quota of its control group (`cpu.max`, or `cpu.cfs_quota_us` of version 1).",
    ),
    ContainerVariable(
        "PREBAKE_WORKERS",
        "workers",
        (0, 64),
        "The number of requests that the model works on at the same time; 0 means 1.",
    ),
    ContainerVariable(
        "PREBAKE_VERIFY",
        "verify",
        ("full", "sha256", "sizes"),
        "How the content of files is verified ([what is verified](../concepts/startup.md#what-is-verified)).",
    ),
    ContainerVariable(
        "PREBAKE_FALLBACK",
        "fallback",
        ("warn", "error"),
        "`warn`: a start may open a component in a slower way than the best one of the image "
        "([fallback](../concepts/startup.md#the-fallback-order)). `error`: such a start ends with code 79. Without the "
        "variable, `fallback` of [image.yaml](image-yaml.md) decides.",
    ),
    ContainerVariable(
        "PREBAKE_MEMORY_CHECK",
        "memory_check",
        ("error", "warn"),
        "`error`: a start ends with code 85 if the memory limit is below the sum of the weights and the runtimes "
        "([memory](../operate.md#memory)). `warn`: it logs the sum and goes on.",
    ),
    ContainerVariable(
        "PREBAKE_REQUEST_MEMORY",
        "request_memory",
        SIZE,
        "What all requests together may take of the memory. 0: half of what is free once the model is ready, at least "
        "64Mi.",
    ),
    ContainerVariable(
        "PREBAKE_GRACE_PERIOD",
        "grace_period",
        (0, 86400),
        "Seconds that requests in flight have after SIGTERM. The default is below Kubernetes' 30 and above the 10 of "
        "`docker stop`; `prebake deploy` sets it together with the Pod's grace period.",
    ),
    ContainerVariable(
        "PREBAKE_HEARTBEAT",
        "heartbeat",
        (0, 3600),
        "Seconds without an event until an [event stream](../concepts/serving.md) gets a comment; 0: never.",
    ),
    ContainerVariable(
        "PREBAKE_FAILURE_EXIT_DELAY",
        "failure_exit_delay",
        (0, 3600),
        "Seconds after a fault until the process ends, so that `/health` can be read.",
    ),
    ContainerVariable(
        "PREBAKE_MODEL_NAMES",
        "model_names",
        "names, separated by commas",
        "The models of an image of [several models](../concepts/serving.md#several-models-behind-one-server), which "
        "sets the variable itself.",
    ),
)

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
with exit code 78 and lists every problem. An empty variable counts as not set.""",
        table(
            ("variable", "default", "values", "meaning"),
            [(code(each.name), _container_default(each), _container_values(each), each.meaning) for each in CONTAINER],
        ),
        "A start that finds one of these earlier names ends with exit code 78, and the message has the present name:",
        table(("earlier name", "present name"), [(code(old), code(new)) for old, new in RENAMED.items()]),
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
