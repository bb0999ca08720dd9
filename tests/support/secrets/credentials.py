"""Every way by which a person hands a secret to the command: variables of the environment, and files that they name."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from tests.support.secrets.marks import Mark, make_mark

NAMES = (
    *("hub", "modelscope", "s3-key", "s3-secret", "s3-session", "gs", "registry", "other-registry", "index", "proxy"),
    *("docker-proxy", "netrc", "client-certificate", "admin", "misspelt", "unknown"),
)
USER = "agent"


def make_marks() -> Mapping[str, Mark]:
    return {name: make_mark(name) for name in NAMES}


def make_login(host: str, mark: Mark, path: str = "") -> str:
    """A URL with a name and a password."""
    return f"http://{USER}:{quote(mark.value, safe='')}@{host}{path}"


def give_credentials(
    folder: Path, marks: Mapping[str, Mark], registry: str, docker_config: Path | None
) -> dict[str, str]:
    """The variables; the files are written to ``folder``. ``registry`` is the address of the one that wants the login.
    ``docker_config``: Docker's own folder, whose plugins go on being found."""
    folder.mkdir()
    auth = write(folder / "auth.json", json.dumps({"auths": {registry: {"auth": encode_login(marks["registry"])}}}))
    netrc = write(folder / "netrc", f"machine packages.invalid login {USER} password {marks['netrc'].value}\n")
    service = {"type": "service_account", "private_key": marks["gs"].value}
    proxy = make_login("proxy.invalid:3128", marks["proxy"])
    return {
        "HF_TOKEN": marks["hub"].value,
        "MODELSCOPE_API_TOKEN": marks["modelscope"].value,
        "AWS_ACCESS_KEY_ID": marks["s3-key"].value,
        "AWS_SECRET_ACCESS_KEY": marks["s3-secret"].value,
        "AWS_SESSION_TOKEN": marks["s3-session"].value,
        "GOOGLE_APPLICATION_CREDENTIALS": str(write(folder / "service.json", json.dumps(service))),
        "REGISTRY_AUTH_FILE": str(auth),
        "DOCKER_CONFIG": str(write_docker_config(folder / "docker", marks, docker_config)),
        "PIP_EXTRA_INDEX_URL": make_login("packages.invalid", marks["index"], "/simple"),
        "PIP_RETRIES": "0",
        "PIP_CLIENT_CERT": str(write(folder / "client.pem", make_certificate(marks["client-certificate"]))),
        "NETRC": str(netrc),
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), proxy),
        **dict.fromkeys(("no_proxy", "NO_PROXY"), "*"),
        "MY_API_KEY": marks["unknown"].value,
    }


def make_certificate(mark: Mark) -> str:
    """A self-signed certificate with its key, which pip can load. The mark is a line before both (RFC 7468, section 2)."""
    from cryptography import x509  # here: few tests need it
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, USER)])
    begin = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), begin, begin + timedelta(1)
    )
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return f"{mark.value}\n{certificate.decode()}{private.decode()}"


def write_docker_config(folder: Path, marks: Mapping[str, Mark], known: Path | None) -> Path:
    folder.mkdir()
    for part in known.iterdir() if known else ():
        if part.name != "config.json":
            (folder / part.name).symlink_to(part)
    proxy = make_login("docker-proxy.invalid:3128", marks["docker-proxy"])
    document = {
        "auths": {"other.invalid": {"auth": encode_login(marks["other-registry"])}},
        "proxies": {"default": {"httpProxy": proxy, "httpsProxy": proxy, "noProxy": "*"}},
    }
    write(folder / "config.json", json.dumps(document))
    return folder


def encode_login(mark: Mark) -> str:
    return base64.b64encode(f"{USER}:{mark.value}".encode()).decode()


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def find_values(marks: Iterable[Mark], text: str) -> set[str]:
    """The names of the marks whose value is in the text: proof that a secret was used."""
    return {mark.name for mark in marks if mark.value in text or encode_login(mark) in text}
