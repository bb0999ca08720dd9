"""docs/reference/exit-codes.md: every error of the tool, of its stages and of the container.

When an error happens is the first paragraph of its class's docstring. What to do about a fault of the container is its
``action``. What to do about an error of the tool is in ``ACTIONS``, as its ``next_action`` differs from place to place.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import prebake
from entrypoints.errors import Fault
from entrypoints.server.server_process import FORCED_EXIT_CODE
from prebake.errors import Interrupted, PrebakeError
from tools.reference.markdown import first_paragraph, mark_code, page, sentence, table

Kind = TypeVar("Kind", bound=Exception)

BASE_CLASSES = ("PrebakeError", "InputProblems", "ContainerError")
"""Classes that nothing raises."""

PASSED_ON = ("ContainerEnded",)
"""The error whose exit code is that of a container."""

STAGE_ERRORS = ("BakeError", "SettingsInvalid", "UnsafePickle", "WeightsError", "ParityFailed")
"""Errors that only a stage finds."""

ACTIONS: Mapping[str, str] = {
    "CommandFailed": "read the last lines of its output, which are printed; run the command by hand",
    "ReferenceInvalid": "write it as `HOST[:PORT]/PATH[:TAG][@sha256:…]`",
    "MissingBlobs": "build again on a machine that can reach the checkpoint's sources",
    "UnknownImage": "use the nearest name, which is printed; `prebake build --list` shows all names, and `--project "
    "DIR` names the project",
    "SpecInvalid": "correct the fields ([image.yaml](image-yaml.md) lists them all). If requirements are missing, run "
    "`make requirements`. If [buckets](../concepts/buckets.md) do not fit, change them",
    "LockMismatch": "run `prebake lock --model NAME` (`--checkpoint ONE` pins one checkpoint only), and review the "
    "difference",
    "LicenseRequired": "read the text that the message names, then give `--accept-license ID` (once for each license) "
    "or set `PREBAKE_ACCEPT_LICENSE=ID,…`",
    "GraphRefused": "export the graph again without the named parts; give sizes by `prebake init --input 'x=[1, 3, "
    "640, 640]'`, or real inputs by `--sample FILE`",
    "OutputInvalid": "write `docker`, `oci:DIR`, `oci:FILE.tar` or `registry:REFERENCE`; for the flags, act on the message",
    "InitRefused": "give an `.onnx` file, or a complete transformers folder of one of the named tasks; choose one of "
    "several forms with `--file`; give a new name if the image exists",
    "EngineUnavailable": "start Docker, correct `DOCKER_HOST`, or run `prebake engine up` (on Debian, as root)",
    "EngineError": "look at `docker images` and `docker info`; build the image first",
    "EngineCannotReach": "look at `docker info` and at the Engine's log",
    "BaseImageError": "give `--base bootstrap` (on Debian, as root), or `--base` with an image that the Engine has; "
    "run `prebake lock` on a machine that can reach the registry",
    "BuildFailed": "correct that instruction or the file that it reads, and build again: earlier steps are cached",
    "NoRoom": "free some space; `PREBAKE_CACHE` moves the store, and `docker builder prune` frees the build cache",
    "SourceError": "correct the source in `image.yaml`, use a token or accept the publisher's terms, or name another "
    "folder",
    "StartUnreadable": "name a report, the result of a benchmark, or the URL of a running container "
    "([measure](../measure.md#prebake-trace))",
    "ContainerUnreachable": "start the container with its port published, or forward the port of the Pod",
    "NoNetwork": "check network, proxy and certificates; Prebake keeps what was downloaded",
    "ChecksumMismatch": "run the command again; if the publisher changed the file on purpose, lock again and review "
    "the difference",
    "LibraryMissing": "add the printed line to `image.yaml`, run `prebake lock --model NAME`, and build again "
    "([system libraries](../adding-a-model.md#system-libraries))",
    "FileChanged": "build again, and do not change files in the store while a build runs",
    "LayoutError": "name another folder, or repair that one",
    "StoreDamaged": "run `prebake cache verify --repair`; the next build downloads or makes them again",
    "SystemPackageError": "correct the name; lock again, or name an archive that keeps old packages in "
    "`PREBAKE_DEBIAN_MIRRORS`",
    "StartFailed": "read the log; the [container's own exit code](#the-container) says more",
    "AnswerDiffers": "compare `model.py` with the reference in `export.py`",
    "StateUnavailable": "run it as root on Linux, outside of a container; install iproute2; or use `--state warm`",
    "NothingToDeploy": "build and push the image; if it was built elsewhere, copy that build's `report.json` to "
    "`build/NAME/`",
    "ImageDiffers": "check out the revision that it was built from, and give its `--target` and `--checkpoint`; if it "
    "still differs, build again and push that image",
    "LimitExceeded": "look at `build/bench/NAME-gate.html`; [startup](../concepts/startup.md) says what each step costs",
    "VerdictUnclear": "run it on a quieter machine, with more `--max-pairs`, or with a wider limit",
    "BaselineUnusable": "name another baseline, or correct what the message says; a shallow clone may lack the revision",
    "SeveralModels": "name one of its models; the build's report has each model's start",
    "NoGpu": "run it on a machine with a GPU, or choose another target; `prebake build` starts such an image on the "
    "CPU, and says so",
    "BuilderUnfit": "look at `docker buildx ls`; unset `BUILDX_BUILDER`, or use that Engine by `DOCKER_CONTEXT`",
    "Busy": "wait until that build has ended, or build in another clone",
    "PathRefused": "use another place: `PREBAKE_CACHE` for the store, `--project` and `--render` for folders",
    "PlatformUnavailable": "build with an Engine on a machine of that platform; `DOCKER_HOST` names one",
    "NotPushed": "build with `--push`, or name the image that was pushed",
    "LabelsInvalid": "write `--label KEY=VALUE`; `image.yaml` and `SOURCE_DATE_EPOCH` set the other labels "
    "([metadata](../concepts/metadata.md))",
    "SourceDateInvalid": "set it to the number that `git log -1 --pretty=%ct` prints, or unset it",
    "RegistryError": "act on the registry's message, or try again later: blobs that arrived are kept",
    "RegistryUnreachable": "check network, proxy and certificates; set `PREBAKE_INSECURE_REGISTRIES=HOST` if the "
    "registry uses plain http; blobs that arrived are kept",
    "RegistryDenied": "run `docker login HOST` or `podman login HOST` with an account that has this right "
    "([the order of the files](../concepts/sources.md#credentials-for-registries))",
    "DigestDisputed": "find out what changes the bytes on their way (a proxy), or check the registry's disk",
    "AttestationRefused": "push to a registry that accepts OCI artifacts, or build without the flag "
    "([what is attached](../push-and-verify.md#what-is-attached))",
    "UploadSettingInvalid": "set it to `auto`, `whole`, or a size of chunks such as `16MiB` "
    "([layers](../concepts/layers.md#how-blobs-are-uploaded))",
    "SchemaOutdated": "run `prebake upgrade`, and review the difference",
    "UpgradeRefused": "correct the listed problems, then run it again",
    "Interrupted": "run it again: finished steps are kept",
    "NotBuilt": "build the image, or add `--build`",
    "PortTaken": "give another port, or leave `--port` out for the next free one",
    "PackageMissing": "run `make setup`, or install Prebake for that Python",
    "BakeError": "correct what the message names",
    "SettingsInvalid": "plan the build again, with one version of Prebake",
    "UnsafePickle": "use a release that contains tensors only, best as safetensors",
    "WeightsError": "download the file again and check it against `weights.lock`",
    "ParityFailed": "look for a shape or a branch that the export fixed. If the graph is fit for use, set "
    "[`max_relative_error`](../concepts/precision.md#the-tolerance-of-fp32). If a [bucket](../concepts/buckets.md) "
    "is named, give the graph a mask, or take the axis out of the buckets",
}
"""What to do, by the name of the error's class."""

MORE: Mapping[str, str] = {
    "SessionFault": "If a [bucket](../concepts/buckets.md) is named, correct it in image.yaml.",
    "ModelFault": "If something else than the memory limit killed the process, look for it outside of the container.",
    "OutOfMemory": "See [memory](../operate.md#memory).",
    "MemoryLimitTooLow": "See [memory](../operate.md#memory). `PREBAKE_MEMORY_CHECK=warn` starts it nevertheless.",
    "SettingsFault": "The [environment variables](environment.md#the-container) are listed with their values.",
    "DeviceMemoryFault": "See [precision](../concepts/precision.md).",
}
"""What to do besides a fault's ``action``, by the name of its class."""

HEAD = ("code", "class", "when", "what to do")
TOOL_FIRST = (
    ("0", "", "The command succeeded.", ""),
    ("1", "", "A Python traceback: a defect of Prebake, or of an image's `demo.py`.", "Report it with the traceback."),
    (
        "2",
        "",
        "The command line was not understood, or flags contradict each other. The message names them, and the nearest known "
        "word.",
        "Read the message; `prebake COMMAND --help` and [commands](commands.md) list the flags.",
    ),
)
TOOL_LAST = (
    (
        "another",
        "`ContainerEnded`",
        "`prebake run`: the container ended by itself. The exit code is the container's, and the message has the reason that its "
        "server logged.",
        "Look the code up in the table of [the container](#the-container).",
    ),
    ("141", "", "The reader of stdout went away, as `head` does.", ""),
)
CONTAINER_FIRST = (
    (
        "0",
        "",
        "SIGTERM or SIGINT stopped the server, and every request in flight was answered or cut off in order.",
        "",
    ),
    (
        "1",
        "",
        "A defect of the entrypoint.",
        "Report it with the traceback, which the log has in the event `exception`.",
    ),
)
CONTAINER_LAST = (
    (
        str(FORCED_EXIT_CODE),
        "",
        "A second signal arrived while the server was draining: requests in flight are lost.",
        "Give the container more time, or set a smaller `PREBAKE_GRACE_PERIOD`.",
    ),
)
"""The first and the last rows of both tables: codes of no class."""


def find_subclasses(kind: type[Kind], package: str) -> Iterator[type[Kind]]:
    """Every subclass that the package defines: tests may have some of their own."""
    for each in kind.__subclasses__():
        if each.__module__.partition(".")[0] == package:
            yield each
        yield from find_subclasses(each, package)


def find_errors() -> list[type[PrebakeError]]:
    for module in pkgutil.walk_packages(prebake.__path__, "prebake."):
        importlib.import_module(module.name)
    return [PrebakeError, *find_subclasses(PrebakeError, "prebake")]


def find_faults() -> list[type[Fault]]:
    return list(find_subclasses(Fault, "entrypoints"))


def write_page() -> str:
    return page(
        "Errors and exit codes",
        """
Prebake prints an error on stderr: what happened and where, then `next:` and what to do. The exit code tells a program the same.
A class is a Python exception of Prebake. It has an exit code of its own, or the code of its parent class.""",
        *_tool_parts(),
        *_stage_parts(),
        *_container_parts(),
    )


def _tool_parts() -> Iterator[str]:
    errors = [
        each for each in find_errors() if each.__name__ not in (*STAGE_ERRORS, *PASSED_ON) and each is not Interrupted
    ]
    yield "## The tool"
    yield "`python build.py …` and `prebake …`. Codes without a class are not errors of Prebake's own."
    yield table(HEAD, [*TOOL_FIRST, *_error_rows(errors), *_error_rows([Interrupted]), *TOOL_LAST])
    yield (
        "In a pipeline, the same command may succeed at a second try after 31, 32, 36, 50, 60 and 61: the cause may be the "
        "network, a registry, or another build. Prebake keeps what was downloaded or pushed. Most other codes need a change "
        "first."
    )


def _stage_parts() -> Iterator[str]:
    yield "## The export, compile, artifacts, add-artifacts and join stages"
    yield """
`python -m prebake.bake export|compile|artifacts|add-artifacts|join` ends with these codes. In a build each stage
runs in a container of its own (inside BuildKit if you build a rendered folder), and the tool ends with the same text and
the same code."""
    yield table(HEAD, _error_rows(each for each in find_errors() if each.__name__ in STAGE_ERRORS))


def _container_parts() -> Iterator[str]:
    yield "## The container"
    yield """
If a start fails, the server stays up for `PREBAKE_FAILURE_EXIT_DELAY` seconds (10 by default) without becoming ready: until then
`GET /health` has the reason. Then the process ends with the code. Reason and action are also a line of JSON on stderr. If a
warm-up answer differs, that line has the figures under `details`: `largest_difference`, `tolerance`, and in an image of several
models `model`."""
    yield table(HEAD, [*CONTAINER_FIRST, *_fault_rows(find_faults()), *CONTAINER_LAST])
    yield (
        "The code 137 is not Prebake's: `docker kill`, the kubelet or the kernel (out of memory) ended the container. "
        "[Operate](../operate.md#when-it-ends) says who acts on each code, and when a restart helps."
    )


def _error_rows(errors: Iterable[type[PrebakeError]]) -> list[tuple[str, ...]]:
    rows = [
        (each.exit_code, f"`{each.__name__}`", first_paragraph(each), sentence(ACTIONS.get(each.__name__, "")))
        for each in errors
    ]
    return [(str(code), *rest) for code, *rest in sorted(rows)]


def _fault_rows(faults: Iterable[type[Fault]]) -> list[tuple[str, ...]]:
    return [
        (
            str(each.exit_code),
            f"`{each.__name__}`",
            first_paragraph(each),
            f"{mark_code(each.action)} {MORE.get(each.__name__, '')}".strip(),
        )
        for each in sorted(faults, key=lambda each: each.exit_code)
    ]
