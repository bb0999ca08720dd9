"""The environment variables of the container, with their meanings: for docs/reference/environment.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from entrypoints.settings import VARIABLES, Values


class ContainerVariable(NamedTuple):
    """A variable that a start reads into the field ``setting`` of ``entrypoints.settings.Settings``. ``values``: two numbers are
    the smallest and the largest that are accepted; words are all that are accepted."""

    name: str
    setting: str
    values: Values
    meaning: str


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
    "([residency](../concepts/residency.md)). The default is `preload` of [image.yaml](image-yaml.md), if it is set.",
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
