"""What can go wrong at start: every class owns its exit code and says what to do about it.

A fault is never survived: the server stays up for a moment so that ``/health`` can be read, then ends with the code.
"""

from __future__ import annotations

from typing import ClassVar


class Fault(Exception):
    """A reason never to become ready."""

    exit_code: ClassVar[int]
    kind: ClassVar[str]
    action: ClassVar[str]

    def __init__(self, problems: str | list[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else problems
        super().__init__("; ".join(self.problems))

    def of(self, model: str) -> Fault:
        """The same, of one of several models; nothing changes where the name is empty."""
        return type(self)([f"{model}: {problem}" for problem in self.problems]) if model else self

    @property
    def reason(self) -> str:
        """One line for people: what happened, and where."""
        return f"{self.kind}: {self}"


class ManifestFault(Fault):
    exit_code = 70
    kind = "manifest unreadable"
    action = "Build the image again, and mount nothing over its models folder."


class NewerSchema(Fault):
    exit_code = 71
    kind = "manifest of a newer schema"
    action = "Build the image again with one version of Prebake: its entrypoint is older than its manifest."


class MissingFile(Fault):
    exit_code = 72
    kind = "missing file"
    action = "Pull the image again, and mount nothing over its models folder; layers must be readable by every user."


class DamagedFile(Fault):
    exit_code = 73
    kind = "damaged file"
    action = "Remove the image from this node and pull it again: its content is not what was built."


class SessionFault(Fault):
    exit_code = 74
    kind = "session cannot open"
    action = "Build the image again for this machine's target; the graph and the runtime do not fit each other."


class WrongAnswer(Fault):
    exit_code = 75
    kind = "warm-up answer differs"
    action = "Do not serve this image: on this machine it computes something else. Compare processor and packages."


class ModelFault(Fault):
    exit_code = 76
    kind = "model code failed"
    action = "Read the traceback above, mend images/<name>/model.py and build again."


class PortInUse(Fault):
    exit_code = 77
    kind = "address cannot be bound"
    action = "Stop the other process, or set PREBAKE_PORT and PREBAKE_HOST to a free address (1024 or above)."


class SettingsFault(Fault):
    exit_code = 78
    kind = "environment not understood"
    action = "Correct or unset the variable."


class CompiledElsewhere(Fault):
    exit_code = 79
    kind = "compiled for another machine"
    action = (
        "Start it on the machine that is named, compile for this one, or allow slower ways: PREBAKE_FALLBACK=announce."
    )


class SilentRebuild(Fault):
    exit_code = 80
    kind = "compiled anew at start"
    action = "Compile the image again with the versions that it serves with: what was baked was not used."


class DeviceMemoryFault(Fault):
    exit_code = 81
    kind = "not enough memory on the device"
    action = "Free memory on the device or take one with more, or build the components in a smaller precision."
