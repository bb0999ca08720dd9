"""docs/reference/environment.md: the environment variables of the tool and of the container.

``tests/integration/reference/test_environment.py`` compares these tables with the variables that the code reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from entrypoints.server.tracing.settings import VARIABLES as TELEMETRY
from entrypoints.settings import RENAMED, Settings
from tools.reference.container_variables import CONTAINER, PRESET, ContainerVariable
from tools.reference.markdown import code, codes, page, table

Variables = tuple[str, ...]


class ToolVariable(NamedTuple):
    """Variables of one meaning."""

    names: Variables
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
    if isinstance(default, tuple):
        default = ",".join(default)
    return code(f"{default:g}" if isinstance(default, float) else str(default)) if default != "" else ""


def _container_values(variable: ContainerVariable) -> str:
    match variable.values:
        case str(text):
            return text
        case (int(smallest), int(largest)):
            kind = "a whole number" if isinstance(Settings._field_defaults[variable.setting], int) else "a number"
            return f"{kind} from {smallest} to {largest}"
        case words:
            return codes(map(str, words))
