"""The faults that end a start: every class owns its exit code and says what to do.

The server stays up for a moment after a fault, so that ``/health`` can be read, then ends with the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class Fault(Exception):
    """Why a model does not become ready, or why its process ended."""

    exit_code: ClassVar[int]
    kind: ClassVar[str]
    action: ClassVar[str]

    def __init__(self, problems: str | list[str], details: Mapping[str, object] | None = None) -> None:
        """``details`` are the figures of the problems, for programs: they are logged as JSON beside the sentence."""
        self.problems = [problems] if isinstance(problems, str) else problems
        self.details = dict(details or {})
        super().__init__("; ".join(self.problems))

    def for_model(self, model: str) -> Fault:
        """The same with the model's name; unchanged if the name is empty, as the image has one model then."""
        if not model:
            return self
        return type(self)([f"{model}: {problem}" for problem in self.problems], {"model": model, **self.details})

    @property
    def log_entry(self) -> dict[str, object]:
        """The fields of the log's ``fault`` event."""
        details = {"details": self.details} if self.details else {}
        return {"exit_code": self.exit_code, "reason": self.reason, "action": self.action, **details}

    @property
    def reason(self) -> str:
        """One line for people: what happened, and where."""
        return f"{self.kind}: {self}"


class ManifestFault(Fault):
    """The manifest or the warm-up request cannot be read. The reason lists every fault."""

    exit_code = 70
    kind = "manifest unreadable"
    action = "Build the image again, and mount nothing over its models folder."


class NewerSchema(Fault):
    """The manifest has a newer schema than the entrypoint reads."""

    exit_code = 71
    kind = "manifest of a newer schema"
    action = "Build the image again with one version of Prebake: its entrypoint is older than its manifest."


class MissingFile(Fault):
    """Files are missing, or the container's user cannot read them."""

    exit_code = 72
    kind = "missing file"
    action = "Pull the image again, and mount nothing over its models folder; layers must be readable by every user."


class DamagedFile(Fault):
    """The size or digest of a file is not the manifest's, or the manifest's own digest is wrong."""

    exit_code = 73
    kind = "damaged file"
    action = "Remove the image from this node and pull it again: its content differs from the built image."


class SessionFault(Fault):
    """A session cannot be opened, lacks its execution provider or device, or does not have the inputs and outputs
    of the manifest; a shape bucket cannot be run; or networks in torch and their weights do not match (the reason
    lists each tensor)."""

    exit_code = 74
    kind = "session cannot be opened"
    action = "Build the image again for this machine's target; this runtime cannot open the graph."


class WrongAnswer(Fault):
    """The answer to the warm-up request differs from the framework's."""

    exit_code = 75
    kind = "warm-up answer differs"
    action = "Do not serve this image: its answers differ on this machine. Compare processor and packages with the builder's."


class ModelFault(Fault):
    """The model's code failed or refused the warm-up request, or the model process was ended (the reason says by
    what)."""

    exit_code = 76
    kind = "model code failed"
    action = "Read the traceback above, fix images/<name>/model.py and build again."


class PortInUse(Fault):
    """The address cannot be bound."""

    exit_code = 77
    kind = "address cannot be bound"
    action = "Stop the other process, or set PREBAKE_PORT and PREBAKE_HOST to a free address (1024 or above)."


class SettingsFault(Fault):
    """``PREBAKE_*`` variables have invalid values or earlier names. The reason lists all of them."""

    exit_code = 78
    kind = "invalid environment variable"
    action = "Correct or unset the variable."


class CompiledElsewhere(Fault):
    """An artifact was compiled for another machine (the reason has each fact: compiled for, and here), and
    ``fallback: error`` allows no slower candidate."""

    exit_code = 79
    kind = "compiled for another machine"
    action = (
        "Start it on the kind of machine named above, compile for this one, or allow fallbacks: PREBAKE_FALLBACK=warn."
    )


class SilentRebuild(Fault):
    """Files appeared beside the baked ones during the start: an engine that did not fit was compiled again."""

    exit_code = 80
    kind = "compiled again at start"
    action = "Compile again with the versions that the image serves with: the baked artifacts were not used."


class DeviceMemoryFault(Fault):
    """The weights need more memory than is free on the device (the reason has both sizes, and a precision that
    would fit), or an execution provider or torch ran out of memory."""

    exit_code = 81
    kind = "not enough memory on the device"
    action = "Free memory on the device, use one with more memory, or build the components in a smaller precision."


class ProcessLimit(Fault):
    """A process or a thread cannot be started: the container's limit of processes is reached."""

    exit_code = 83
    kind = "limit of processes reached"
    action = "Raise the container's limit of processes (docker run --pids-limit, podPidsLimit of the kubelet) to 128 or more."


class OutOfMemory(Fault):
    """The kernel ended the model process, or an allocation failed, since the container's memory was used up (the reason has the
    limit and the peak)."""

    exit_code = 84
    kind = "out of memory"
    action = (
        "Give the container more memory, send smaller requests (a smaller size, fewer frames or texts), "
        "or build the components in a smaller precision."
    )


class MemoryLimitTooLow(Fault):
    """The container's memory limit cannot hold the weights (the reason has the sum)."""

    exit_code = 85
    kind = "memory limit below the model's needs"
    action = "Raise the container's memory limit, or build the components in a smaller precision."


class StartTimeout(Fault):
    """The start did not end within ``PREBAKE_START_TIMEOUT`` seconds (the reason has the phases that still ran)."""

    exit_code = 86
    kind = "start took too long"
    action = "See which phase did not end; set PREBAKE_START_TIMEOUT if this start may take longer."


class ModelHung(Fault):
    """The model still worked on a request long after the request's deadline, and did not stop when it was asked to."""

    exit_code = 87
    kind = "model does not stop"
    action = "Find the step of images/<name>/model.py that does not end, or never looks at cancelled(); the container restarts."
