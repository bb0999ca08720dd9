from __future__ import annotations

import json
from pathlib import Path

from prebake.docker.buildkit.package_index import pip_access


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
    assert access.unreachable == ("file:///local/simple", "https://example.org/wheels")


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
    assert access.unreachable[-1:] == (f"{tmp_path}/two",)
    assert access.options["index-url"] == "https://example.org/simple"
    assert pip_access({**environ, "PIP_FIND_LINKS": f"file://{tmp_path}/two"}).wheelhouse == tmp_path / "two"


def test_nothing_set_is_nothing(tmp_path: Path) -> None:
    access = pip_access({"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"})
    assert (access.ca, access.wheelhouse, dict(access.options), access.unreachable) == (None, None, {}, ())


def test_settings_of_the_network_are_carried(tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\ntrusted-host =\n    one.example\n    two.example\nproxy = proxy.example:3128\ntimeout = 30\n"
        "[install]\nno-index = true\n[freeze]\nproxy = other\n[global2]\nclient_cert = x\n"
    )
    (tmp_path / "client.pem").write_text("")
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": str(config), "PIP_CLIENT_CERT": str(tmp_path / "client.pem")}
    access = pip_access(environ)
    assert access.options == {
        "trusted-host": "one.example two.example",
        "proxy": "proxy.example:3128",
        "timeout": "30",
        "no-index": "true",
    }
    assert access.client_cert == tmp_path / "client.pem"
    assert not access.on_loopback
    own = {**environ, "PIP_TRUSTED_HOST": "three.example", "PIP_PROXY": "localhost:1", "PIP_DEFAULT_TIMEOUT": "60"}
    access = pip_access(own)
    assert (access.options["trusted-host"], access.options["timeout"]) == ("three.example", "60")
    assert access.on_loopback


def test_netrc_is_the_named_file_or_the_home_s(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}
    assert pip_access(environ).netrc is None
    (tmp_path / ".netrc").write_text("")
    (tmp_path / "logins").write_text("")
    assert pip_access(environ).netrc == tmp_path / ".netrc"
    assert pip_access({**environ, "NETRC": str(tmp_path / "logins")}).netrc == tmp_path / "logins"
    assert pip_access({**environ, "NETRC": str(tmp_path / "absent")}).netrc is None


def test_proxies_come_from_the_environment_and_from_docker_s_configuration(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    document = {"proxies": {"default": {"httpProxy": "http://docker.example:1", "noProxy": "internal.example"}}}
    (tmp_path / ".docker/config.json").write_text(json.dumps(document))
    environ = {"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}
    assert pip_access(environ).proxies == {"http_proxy": "http://docker.example:1", "no_proxy": "internal.example"}
    own = {
        **environ,
        "HTTPS_PROXY": "http://a:b@upper.example",
        "http_proxy": "http://127.0.0.1:3128",
        "HTTP_PROXY": "x",
    }
    access = pip_access(own)
    assert access.proxies == {
        "http_proxy": "http://127.0.0.1:3128",
        "https_proxy": "http://a:b@upper.example",
        "no_proxy": "internal.example",
    }
    assert access.on_loopback
    (tmp_path / ".docker/config.json").write_text("no json")
    assert pip_access(environ).proxies == {}
