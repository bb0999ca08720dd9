from __future__ import annotations

from pathlib import Path

from prebake.engine.packages import pip_access


def test_the_environment_is_read(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    (tmp_path / "wheels").mkdir()
    access = pip_access(
        {
            "HOME": str(tmp_path),
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_CERT": str(tmp_path / "none.pem"),
            "SSL_CERT_FILE": str(tmp_path / "ca.pem"),
            "PIP_FIND_LINKS": f"https://example.org/wheels {tmp_path}/wheels",
            "PIP_INDEX_URL": "https://example.org/simple",
            "PIP_EXTRA_INDEX_URL": "file:///local/simple https://example.org/more",
        }
    )
    assert access.ca == tmp_path / "ca.pem"
    assert access.wheelhouse == tmp_path / "wheels"
    assert access.options == {
        "index-url": "https://example.org/simple",
        "extra-index-url": "https://example.org/more",
    }
    assert access.left_out == ("file:///local/simple", "https://example.org/wheels")


def test_a_configuration_file_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    config = tmp_path / "pip.conf"
    config.write_text(
        f"[global]\nfind-links =\n    {tmp_path}/one\n    {tmp_path}/two\nindex-url = https://example.org/simple\n"
    )
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(config)}
    access = pip_access(environ)
    assert access.wheelhouse == tmp_path / "one"
    assert access.left_out[-1:] == (f"{tmp_path}/two",)
    assert access.options["index-url"] == "https://example.org/simple"
    assert pip_access({**environ, "PIP_FIND_LINKS": f"file://{tmp_path}/two"}).wheelhouse == tmp_path / "two"


def test_nothing_set_is_nothing(tmp_path: Path) -> None:
    access = pip_access({"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"})
    assert (access.ca, access.wheelhouse, dict(access.options), access.left_out) == (None, None, {}, ())
