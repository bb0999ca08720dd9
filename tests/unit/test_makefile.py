"""What `make bench` runs, and in which environment make runs it; make itself says it."""

from __future__ import annotations

import os
import subprocess

from tests.support.repository import ROOT


def commands(*words: str) -> list[str]:
    told = subprocess.run(
        ["make", "--no-print-directory", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [line.strip() for line in told.splitlines()]


def test_a_bench_of_a_size_measures_that_and_nothing_else() -> None:
    run = commands("bench", "BENCH_SIZE=1GB", "MODEL=zimage", "RUNS=3")
    assert run[-1] == ".venv/bin/prebake bench --model zimage --runs 3 --size 1GB"
    assert not any("tests.benchmarks" in line for line in run)


def test_a_bench_takes_the_locked_checkpoint_and_the_other_benchmarks_too() -> None:
    run = commands("bench")
    assert ".venv/bin/prebake bench --model foley --runs 10" in run
    assert any("tests.benchmarks.push" in line for line in run)


def test_tests_write_bytecode_even_if_the_environment_forbids_it() -> None:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "ANOTHER": "1"}
    command = ["make", "--eval=show: ; @env", "show"]
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert "ANOTHER=1" in told.splitlines()
    assert "PYTHONDONTWRITEBYTECODE" not in told
