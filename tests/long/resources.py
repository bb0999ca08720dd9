"""What the processes of a container take: memory, open files, threads. The container's own Python reads it from /proc."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

from docker.errors import DockerException

from prebake.docker.containers.containers import RunningContainer
from prebake.measure import ports
from prebake.workflow.start_check.launcher import StartedServer

# Proportional set size (proc_pid_smaps(5)): a page that n processes map counts 1/n for each. The reading process maps the same
# libraries in each sample, so it changes all samples alike. Containers of the same image share pages of files: another one
# changes the sum, but not the anonymous part (heap, stacks, shared memory), in which a leak shows.
READER = """
import json, os
found = {"pss": 0, "anonymous": 0, "files": 0, "threads": 0, "processes": 0}
for name in os.listdir("/proc"):
    if not name.isdigit() or name == str(os.getpid()):
        continue
    folder = "/proc/" + name
    try:
        with open(folder + "/smaps_rollup") as file:
            sizes = {line.split()[0]: int(line.split()[1]) << 10 for line in file if line.endswith(" kB\\n")}
        anonymous = sizes["Pss_Anon:"] + sizes["Pss_Shmem:"]
        files, threads = len(os.listdir(folder + "/fd")), len(os.listdir(folder + "/task"))
    except (OSError, KeyError):
        continue
    for key, value in zip(found, (sizes["Pss:"], anonymous, files, threads, 1)):
        found[key] += value
print(json.dumps(found))
"""
ATTEMPTS = 3
"""An Engine under load was seen to lose the output of a program that had ended well."""


@dataclass(frozen=True)
class Resources:
    """Of all processes of a container together. ``pss`` is the proportional set size in bytes, ``anonymous`` the part of it that
    is of no file."""

    pss: int
    anonymous: int
    files: int
    threads: int
    processes: int


class Target(ports.RunningContainer, Protocol):
    """A container under load."""

    def sample(self) -> Resources:
        """Raises StartFailed if the container has ended."""

    def stop(self) -> int:
        """Send SIGTERM. Returns the exit code."""


class ContainerTarget(StartedServer):
    """A Target on the Engine."""

    def __init__(self, container: RunningContainer) -> None:
        super().__init__(container)
        self._running = container

    def sample(self) -> Resources:
        for _ in range(ATTEMPTS):
            try:
                code, output = self._running.run(["python3", "-I", "-S", "-c", READER])
            except DockerException as error:
                raise self._running.failure(f"cannot be looked into ({error})") from error
            if code:
                raise self._running.failure(f"cannot be looked into: {output}")
            if output:
                return Resources(**json.loads(output))
        raise self._running.failure("cannot be looked into: no output")

    def stop(self) -> int:
        return self._running.stop(30).exit_code
