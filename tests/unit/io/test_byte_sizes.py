from __future__ import annotations

import pytest

from prebake.cli import main
from prebake.io.byte_sizes import parse_bytes


@pytest.mark.parametrize(
    ("text", "count"), [("1GB", 10**9), ("8 MB", 8 * 10**6), ("512MiB", 2**29), ("3gib", 3 * 2**30)]
)
def test_sizes_are_read_as_people_write_them(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "1", "GB", "0GB", "-1GB", "1.5GB", "1TB", "1 GB or so"])
def test_what_is_no_size_is_refused_by_the_command(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--model", "toy", f"--size={text}"])
    assert ended.value.code == 2
    assert "is not a size such as 1GB" in capsys.readouterr().err
