"""Limits of a control group, from folders that look like those of the kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from entrypoints.hardware.cgroup import find_group
from entrypoints.hardware.container_memory import ContainerMemory, find_request_memory, parse_bytes
from entrypoints.hardware.cpu_quota import count_cpus, find_quota

MIB = 1 << 20
NONE = "9223372036854771712"  # version 1, with pages of 4 KiB
NONE_OF_LARGE_PAGES = "9223372036854710272"


class Machine(NamedTuple):
    """``files``: content by the path below /sys/fs/cgroup; ``membership``: of /proc/self/cgroup."""

    files: Mapping[str, str]
    membership: str

    def write(self, folder: Path) -> tuple[Path, Path]:
        for path, content in self.files.items():
            (folder / "cgroup" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "cgroup" / path).write_text(content + "\n")
        (folder / "cgroup").mkdir(exist_ok=True)
        (folder / "membership").write_text(self.membership)
        return folder / "cgroup", folder / "membership"


V1 = "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/docker/abc\n"


@pytest.mark.parametrize(
    ("machine", "quota"),
    [
        (Machine({"cpu.max": "200000 100000"}, "0::/\n"), 2.0),
        (Machine({"cpu.max": "max 100000"}, "0::/\n"), math.inf),
        (Machine({"a/b/cpu.max": "max 100000", "a/cpu.max": "50000 100000"}, "0::/a/b\n"), 0.5),
        (Machine({"cpu.max": "nonsense"}, "0::/\n"), math.inf),
        (Machine({"cpu.max": "1 0"}, "0::/\n"), math.inf),
        (Machine({}, "0::/\n"), math.inf),
        (Machine({"cpu,cpuacct/cpu.cfs_quota_us": "150000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, V1), 1.5),
        (Machine({"cpuacct,cpu/cpu.cfs_quota_us": "150000", "cpuacct,cpu/cpu.cfs_period_us": "100000"}, V1), 1.5),
        (Machine({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, V1), math.inf),
        (Machine({"cpu/docker/abc/cpu.cfs_quota_us": "300000"}, V1), math.inf),
        (
            Machine(
                {
                    "cpu/docker/abc/cpu.cfs_quota_us": "300000",
                    "cpu/docker/abc/cpu.cfs_period_us": "100000",
                    "cpu/docker/cpu.cfs_quota_us": "100000",
                    "cpu/docker/cpu.cfs_period_us": "100000",
                },
                V1,
            ),
            1.0,
        ),
        # hybrid: the controller is one of version 1, and version 2 says nothing of it
        (
            Machine(
                {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000", "unified/cpu.stat": ""},
                "2:cpu:/\n0::/\n",
            ),
            2.5,
        ),
        # hybrid, with the controller in version 2
        (Machine({"unified/a/cpu.max": "100000 100000", "memory/memory.stat": ""}, "2:memory:/a\n0::/a\n"), 1.0),
    ],
)
def test_the_smallest_cpu_quota_of_the_groups_counts(tmp_path: Path, machine: Machine, quota: float) -> None:
    assert find_quota(*machine.write(tmp_path)) == quota


def test_a_part_of_a_cpu_is_a_thread_in_version_1_too(tmp_path: Path) -> None:
    machine = Machine({"cpu/cpu.cfs_quota_us": "20000", "cpu/cpu.cfs_period_us": "100000"}, V1)
    assert count_cpus(*machine.write(tmp_path)) == 1


@pytest.mark.parametrize(
    ("mounted", "membership", "levels"),
    [
        ("docker/abc", "/docker/abc", ["docker/abc", "docker", ""]),  # the whole hierarchy, without a namespace
        ("", "/docker/abc", [""]),  # Docker mounts the container's group
        ("abc", "/kubepods/pod1/abc", ["abc", ""]),  # a Pod's group is mounted
        ("", "/", [""]),  # a namespace
        ("", "/../../other", [""]),  # a group outside of the namespace
    ],
)
def test_what_is_mounted_may_begin_at_any_level(
    tmp_path: Path, mounted: str, membership: str, levels: list[str]
) -> None:
    machine = Machine({f"pids/{mounted}/pids.max": "100"}, f"3:pids:{membership}\n")
    root, file = machine.write(tmp_path)
    group = find_group("pids", root, file)
    assert group.version == 1
    assert [level.relative_to(root / "pids").as_posix() for level in group.levels] == [name or "." for name in levels]
    assert group.find_smallest("pids.max") == 100


MEMORY_V2 = {
    "memory.max": str(512 * MIB),
    "memory.current": str(300 * MIB),
    "memory.peak": str(500 * MIB),
    "memory.events": "low 0\nhigh 0\nmax 12\noom 2\noom_kill 3\noom_group_kill 0",
    "memory.stat": f"anon {100 * MIB}\nfile {150 * MIB}\nfile_mapped {60 * MIB}\nshmem {4 * MIB}",
}
MEMORY_V1 = {
    "memory/memory.limit_in_bytes": str(512 * MIB),
    "memory/memory.usage_in_bytes": str(300 * MIB),
    "memory/memory.max_usage_in_bytes": str(500 * MIB),
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3",
    "memory/memory.stat": f"rss 5\ntotal_rss {100 * MIB}\ntotal_mapped_file {60 * MIB}\ntotal_shmem {4 * MIB}\n"
    f"hierarchical_memory_limit {NONE}",
}


@pytest.mark.parametrize("machine", [Machine(MEMORY_V2, "0::/\n"), Machine(MEMORY_V1, V1)], ids=["v2", "v1"])
def test_the_figures_of_memory_are_the_same_in_both_versions(tmp_path: Path, machine: Machine) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 99999999 kB\nMemAvailable:   88888888 kB\nSwapTotal: 0 kB\n")
    memory = ContainerMemory(*machine.write(tmp_path), meminfo)
    figures = memory.read_limit(), memory.read_current(), memory.read_peak(), memory.read_kills(), memory.read_free()
    assert figures == (512 * MIB, 300 * MIB, 500 * MIB, 3, (512 - 100 - 60 - 4) * MIB)
    assert find_request_memory(memory=memory) == 174 * MIB
    assert find_request_memory(5, memory) == 5


@pytest.mark.parametrize(
    ("machine", "limit"),
    [
        (Machine({"memory.max": "max"}, "0::/\n"), None),
        (Machine({}, "0::/\n"), None),
        (Machine({"a/b/memory.max": "max", "a/memory.max": "7"}, "0::/a/b\n"), 7),
        (Machine({"a/b/memory.max": "5", "a/memory.max": "7"}, "0::/a/b\n"), 5),
        (Machine({"memory/memory.limit_in_bytes": NONE}, V1), None),
        (Machine({"memory/memory.limit_in_bytes": NONE_OF_LARGE_PAGES}, V1), None),
        # the limit of a Pod whose group is above the mount
        (
            Machine(
                {
                    "memory/memory.limit_in_bytes": NONE,
                    "memory/memory.stat": f"cache 0\nhierarchical_memory_limit {8 * MIB}",
                },
                V1,
            ),
            8 * MIB,
        ),
    ],
)
def test_the_smallest_memory_limit_counts(tmp_path: Path, machine: Machine, limit: int | None) -> None:
    assert ContainerMemory(*machine.write(tmp_path)).read_limit() == limit


def test_nothing_can_be_read_where_no_groups_are_mounted(tmp_path: Path) -> None:
    memory = ContainerMemory(tmp_path / "absent", tmp_path / "absent", tmp_path / "absent")
    figures = memory.read_limit(), memory.read_current(), memory.read_peak(), memory.read_kills(), memory.read_free()
    assert figures == (None,) * 5
    assert memory.read_swap() == 0
    assert find_request_memory(memory=memory) == 64 * MIB


@pytest.mark.parametrize(
    ("machine", "swap"),
    [
        (Machine({**MEMORY_V2, "memory.swap.max": "0"}, "0::/\n"), 0),
        (Machine({**MEMORY_V2, "memory.swap.max": str(9 * MIB)}, "0::/\n"), 9 * MIB),
        (Machine({**MEMORY_V2, "memory.swap.max": "max"}, "0::/\n"), 1000 * MIB),
        (Machine({**MEMORY_V1, "memory/memory.memsw.limit_in_bytes": str(512 * MIB)}, V1), 0),
        (Machine({**MEMORY_V1, "memory/memory.memsw.limit_in_bytes": str(600 * MIB)}, V1), 88 * MIB),
        (Machine(MEMORY_V1, V1), 1000 * MIB),
    ],
)
def test_swap_that_the_container_may_use(tmp_path: Path, machine: Machine, swap: int) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"SwapTotal: {1000 * 1024} kB\n")
    assert ContainerMemory(*machine.write(tmp_path), meminfo).read_swap() == swap


def test_requests_never_get_more_than_the_machine_has(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemAvailable: {200 * 1024} kB\n")
    memory = ContainerMemory(*Machine(MEMORY_V2, "0::/\n").write(tmp_path), meminfo)
    assert find_request_memory(memory=memory) == 100 * MIB


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512Mi", 512 * MIB),
        ("2Gi", 2 << 30),
        ("4Ki", 4096),
        ("1Ti", 1 << 40),
        ("3M", 3_000_000),
        ("2k", 2000),
        ("77", 77),
    ],
)
def test_a_size_has_the_suffixes_of_kubernetes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "Mi", "-1", "1.5Gi", "3MB", "many"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_bytes(text)
