"""Pushing and reading where everything goes wrong that goes wrong: killed, cut, stalled, refused, changed, disputed."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from prebake.errors import ChecksumMismatch, Interrupted, PrebakeError
from prebake.oci.blobs import (
    EMPTY,
    MANIFEST,
    Blob,
    Descriptor,
    Image,
    data_blob,
    document_blob,
    read_all,
    sha256_digest,
)
from prebake.oci.content import BLOCK, Data, FileChanged, FileContent
from prebake.oci.download import RemoteContent
from prebake.oci.errors import DigestDisputed, RegistryDenied, RegistryError, RegistryUnreachable
from prebake.oci.patience import Patience
from prebake.oci.push import Pushed, push_image
from prebake.oci.reference import parse_reference
from prebake.oci.referrers import Referrer, list_referrers, put_referrer
from prebake.oci.registry import Repository
from tests.faults.registries import (
    Fault,
    Front,
    KeepingRegistry,
    KillableRegistry,
    TokenServer,
    killable_registry,
    served,
)
from tests.oci_images import image_of, layer_of

HASTY = Patience(attempts=4, first=0.01, longest=0.02, connect=2.0, read=0.4, finish=5.0, retry_after=200.0)
PIECE = BLOCK
SECRET = "a-password-of-mine"
BCRYPT = "$2y$05$abcdefghijklmnopqrstuuRLVIu3MxPpmOoWPjn.D.gmU.bHIW3hi"  # of SECRET
DATA = random.Random(0).randbytes(4 * BLOCK + 1000)


@dataclass(frozen=True)
class Watched:
    """Data that calls ``passing`` before the chunk at ``at`` is given, once."""

    data: bytes
    at: int
    passing: Callable[[], None]
    done: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.data)

    def chunks(self, offset: int = 0) -> Iterator[memoryview]:
        for chunk in Data(self.data).chunks(offset):
            if offset >= self.at and not self.done:
                self.done.append(offset)
                self.passing()
            yield chunk
            offset += len(chunk)


def unopened() -> None:
    raise AssertionError("a blob that was there was opened")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableRegistry]:
    """One that no test kills."""
    with killable_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def front(standing: KillableRegistry) -> Iterator[Front]:
    front = Front(standing.address)
    with served(front):
        yield front


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    """A repository of the test's own."""
    return f"tests/{sha256_digest(request.node.name.encode())[-12:]}"


@pytest.fixture
def opened() -> Iterator[Callable[..., Repository]]:
    """Repositories, closed at the end."""
    repositories: list[Repository] = []

    def open_one(address: str, path: str, patience: Patience = HASTY, **more: object) -> Repository:
        environ = {"DOCKER_CONFIG": "/nowhere"}
        arguments = {"patience": patience, "environ": environ, "piece": PIECE, **more}
        repositories.append(Repository(parse_reference(f"{address}/{path}"), **arguments))  # type: ignore[arg-type]
        return repositories[-1]

    yield open_one
    for each in repositories:
        each.close()


Opened = Callable[..., Repository]


def layer(seed: int, size: int = 2 * BLOCK + 77) -> Blob:
    return layer_of(Data(random.Random(seed).randbytes(size)))


def pulled(repository: Repository, target: str) -> dict[str, bytes]:
    """Manifest and blobs of an image, by digest."""
    found = repository.get_manifest(target)
    assert found is not None
    descriptor, data = found
    document = json.loads(data)
    listed = [Descriptor.read(each) for each in (*document["layers"], document["config"])]
    blobs = {each.digest: b"".join(repository.open_blob(each.digest, each.size)) for each in listed}
    return {descriptor.digest: data, **blobs}


def bytes_of(image: Image) -> dict[str, bytes]:
    return {blob.digest: read_all(blob) for blob in (image.manifest, *image.blobs)}


def check_there(repository: Repository, blob: Blob, data: bytes = DATA) -> None:
    assert b"".join(repository.open_blob(blob.digest, blob.size)) == data


def check_forgotten(registry: KillableRegistry, path: str) -> None:
    """No upload of the repository is left."""
    assert [each for each in registry.unfinished() if path in str(each)] == []


def test_what_was_pushed_is_what_is_read(standing: KillableRegistry, path: str, opened: Opened) -> None:
    repository, image = opened(standing.address, path), image_of(layer(1), layer(2), layer(3, 5), layer(1))
    pushed = push_image(repository, image, "v1")
    assert pushed.name == f"{standing.address}/{path}@{image.digest}"
    assert {each.how for each in pushed.blobs} == {"sent"}
    assert len(pushed.blobs) == 4
    assert pushed.bytes == sum(blob.size for blob in (image.manifest, *image.blobs))
    assert pulled(repository, "v1") == pulled(repository, image.digest) == bytes_of(image)
    assert repository.resolve("v1") == image.digest


def test_an_image_without_a_tag_is_there_by_its_digest(standing: KillableRegistry, path: str, opened: Opened) -> None:
    repository, image = opened(standing.address, path), image_of(layer(1))
    push_image(repository, image)
    assert pulled(repository, image.digest) == bytes_of(image)
    assert repository.get_manifest("latest") is None
    assert repository.get_manifest(sha256_digest(b"another")) is None


def test_a_second_push_sends_and_opens_nothing(standing: KillableRegistry, path: str, opened: Opened) -> None:
    repository, image = opened(standing.address, path), image_of(layer(1), layer(2))
    push_image(repository, image, "v1")
    closed = [replace(each, content=Watched(read_all(each), 0, unopened)) for each in (*image.layers, image.config)]
    again = push_image(repository, Image(image.manifest, closed[-1], tuple(closed[:-1])), "v1")
    assert again.bytes == 0
    assert {each.how for each in (again.manifest, *again.blobs)} == {"present"}


def test_bytes_that_are_not_here_need_not_be_where_the_registry_has_them(
    standing: KillableRegistry, path: str, opened: Opened
) -> None:
    repository, held, other = opened(standing.address, path), layer(1), layer(2)
    push_image(repository, image_of(held), "v1")
    image = image_of(replace(held), other)
    absent = Image(image.manifest, image.config, (Blob(held.descriptor), other))
    push_image(repository, absent, "v2")
    assert pulled(repository, "v2") == bytes_of(image)


def test_a_blob_that_is_nowhere_is_named_before_anything_is_sent(
    standing: KillableRegistry, path: str, opened: Opened
) -> None:
    repository, image = opened(standing.address, path), image_of(layer(1), layer(2))
    absent = Image(image.manifest, image.config, (image.layers[0], Blob(image.layers[1].descriptor)))
    with pytest.raises(RegistryError, match=image.layers[1].digest):
        push_image(repository, absent, "v1", workers=1)
    assert not repository.has(image.layers[0].digest)
    assert repository.get_manifest("v1") is None


def test_a_blob_is_mounted_from_another_repository(front: Front, path: str, opened: Opened) -> None:
    image = image_of(layer(1), layer(2))
    push_image(opened(front.address, path), image, "v1")
    beside = opened(front.address, f"{path}-beside")
    mounted = push_image(beside, image, "v1", mount_from=[f"{path}-none", path])
    assert {each.how for each in mounted.blobs} == {"mounted"}
    assert mounted.bytes == image.manifest.size
    assert pulled(beside, "v1") == bytes_of(image)


def test_where_nothing_can_be_mounted_it_is_sent(standing: KillableRegistry, path: str, opened: Opened) -> None:
    repository, image = opened(standing.address, path), image_of(layer(1))
    pushed = push_image(repository, image, "v1", mount_from=[f"{path}-none"])
    assert {each.how for each in pushed.blobs} == {"sent"}
    check_forgotten(standing, path)


def test_an_empty_blob_and_one_of_a_byte_are_pushed(standing: KillableRegistry, path: str, opened: Opened) -> None:
    repository = opened(standing.address, path)
    for data in (b"", b"a", b"ab", DATA[:PIECE], DATA[: PIECE + 1]):
        blob = data_blob(EMPTY, data)
        assert repository.push(blob).bytes == len(data)
        check_there(repository, blob, data)


def test_a_killed_registry_is_gone_on_with_once_it_is_back(tmp_path: Path, path: str, opened: Opened) -> None:
    with killable_registry(tmp_path) as registry:

        def restart() -> None:
            registry.kill()
            registry.start()

        repository = opened(registry.address, path)
        blob = replace(data_blob(EMPTY, DATA), content=Watched(DATA, 2 * PIECE, restart))
        sent = repository.push(blob)
        assert sent.bytes == len(DATA) + PIECE, "only the piece that was on its way is sent again"
        check_there(repository, blob)


def test_a_registry_killed_within_a_piece_gets_the_whole_anew(tmp_path: Path, path: str, opened: Opened) -> None:
    with killable_registry(tmp_path) as registry:

        def restart() -> None:
            registry.kill()
            registry.start()

        repository = opened(registry.address, path, piece=3 * PIECE)
        blob = replace(data_blob(EMPTY, DATA), content=Watched(DATA, 2 * BLOCK, restart))
        repository.push(blob)
        check_there(repository, blob)


@pytest.mark.parametrize("fault", [Fault("PATCH", cut=700_000), Fault("PATCH", stall=700_000)], ids=["cut", "stalled"])
@pytest.mark.parametrize("times", [1, 2])
def test_an_upload_that_breaks_is_made_again(front: Front, path: str, opened: Opened, fault: Fault, times: int) -> None:
    front.faults.append(replace(fault, times=times))
    repository, blob = opened(front.address, path), data_blob(EMPTY, DATA)
    assert repository.push(blob).how == "sent"
    check_there(repository, blob)


@pytest.mark.parametrize("cut", [1, 700_000, PIECE, 3 * PIECE - 1, len(DATA) - 1])
def test_a_registry_that_keeps_what_arrived_is_sent_only_the_rest(opened: Opened, cut: int) -> None:
    registry = KeepingRegistry(cut)
    with served(registry):
        repository, blob = opened(registry.address, "kept"), data_blob(EMPTY, DATA)
        repository.push(blob)
        assert registry.blobs == {blob.digest: DATA}
        ranges = [seen.headers["content-range"] for seen in registry.requests("PATCH")]
        if cut > 1:  # a single byte cannot be told from none
            assert any(each.startswith(f"{cut}-") for each in ranges)
            assert len(registry.requests("POST")) == 1


def test_a_lost_answer_to_the_last_request_sends_nothing_again(front: Front, path: str, opened: Opened) -> None:
    front.faults.append(Fault("PUT", lose=True))
    repository, blob = opened(front.address, path), data_blob(EMPTY, DATA)
    assert repository.push(blob).bytes == len(DATA)
    check_there(repository, blob)


def test_a_registry_that_never_gets_further_is_given_up_on(front: Front, path: str, opened: Opened) -> None:
    front.faults.append(Fault("PATCH", cut=1000, times=100))
    with pytest.raises(RegistryUnreachable, match="4 times in a row") as caught:
        opened(front.address, path).push(data_blob(EMPTY, DATA))
    assert front.address in str(caught.value)


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """The environment's proxy for http."""

    def set_proxy(address: str) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setenv("HTTP_PROXY", f"http://{address}")

    return set_proxy


def test_a_proxy_is_taken_to_other_machines(opened: Opened, proxied: Callable[[str], None]) -> None:
    proxy = KeepingRegistry()
    with served(proxy):
        proxied(proxy.address)
        environ = {"DOCKER_CONFIG": "/nowhere", "PREBAKE_INSECURE_REGISTRIES": "registry.example"}
        blob = data_blob(EMPTY, DATA)
        opened("registry.example:5000", "kept", environ=environ).push(blob)
        assert proxy.blobs == {blob.digest: DATA}
        assert all(seen.path.startswith("http://registry.example:5000/v2/") for seen in proxy.seen)


def test_no_proxy_is_taken_to_this_machine(
    standing: KillableRegistry, path: str, opened: Opened, proxied: Callable[[str], None]
) -> None:
    proxied("127.0.0.1:1")
    assert opened(standing.address, path).push(data_blob(EMPTY, DATA)).how == "sent"


def test_a_registry_that_is_not_there_is_named(opened: Opened) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(RegistryUnreachable, match=address) as caught:
        opened(address, "a").has(sha256_digest(b""))
    assert caught.value.exit_code == 61
    assert "HTTPS_PROXY" in caught.value.next_action


@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "PUT"])
@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_pass_is_waited_for(front: Front, path: str, opened: Opened, method: str, status: int) -> None:
    waits: list[float] = []
    front.faults.append(Fault(method, status=status, headers={"Retry-After": "150"}))
    repository, blob = opened(front.address, path, replace(HASTY, pause=waits.append)), data_blob(EMPTY, DATA)
    repository.push(blob)
    assert waits == [150.0]
    check_there(repository, blob)


def test_a_date_to_come_back_at_is_kept(front: Front, path: str, opened: Opened) -> None:
    waits: list[float] = []
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    front.faults.append(Fault("GET", "manifests", status=429, headers={"Retry-After": date}))
    repository = opened(front.address, path, replace(HASTY, pause=waits.append))
    assert repository.get_manifest("v1") is None
    assert len(waits) == 1
    assert 0 < waits[0] <= 100


def test_too_long_a_wait_ends_the_push_at_once(front: Front, path: str, opened: Opened) -> None:
    front.faults.append(Fault("POST", status=429, headers={"Retry-After": "86400"}))
    with pytest.raises(RegistryError, match="86400"):
        opened(front.address, path).push(data_blob(EMPTY, DATA))
    assert len(front.requests("POST")) == 1


@pytest.mark.parametrize("status", [400, 405, 413, 501])
def test_what_will_not_pass_is_an_error_at_once(front: Front, path: str, opened: Opened, status: int) -> None:
    front.faults.append(Fault("PATCH", status=status))
    with pytest.raises(RegistryError, match=str(status)) as caught:
        opened(front.address, path).push(data_blob(EMPTY, DATA))
    assert caught.value.exit_code == 60
    assert len(front.requests("PATCH")) == 1
    assert len(front.requests("DELETE")) == 1, "the upload is cancelled"


def test_the_registrys_own_words_are_in_the_error(standing: KillableRegistry, path: str, opened: Opened) -> None:
    image = image_of(layer(1))
    with pytest.raises(RegistryError, match=r"MANIFEST_BLOB_UNKNOWN: blob unknown to registry"):
        opened(standing.address, path).put_manifest("v1", MANIFEST, read_all(image.manifest))


def test_a_blob_cut_while_it_is_read_is_gone_on_with(front: Front, path: str, opened: Opened) -> None:
    repository, blob = opened(front.address, path), data_blob(EMPTY, DATA)
    repository.push(blob)
    front.faults += [Fault("GET", blob.digest, truncate=1_000_000), Fault("GET", blob.digest, truncate=500_000)]
    check_there(repository, blob)
    ranges = [seen.headers.get("range") for seen in front.requests("GET", blob.digest)]
    assert ranges == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_blob_is_read_from_an_offset_on(front: Front, path: str, opened: Opened) -> None:
    repository, blob = opened(front.address, path), data_blob(EMPTY, DATA)
    repository.push(blob)
    front.faults.append(Fault("GET", blob.digest, truncate=1000))
    assert b"".join(repository.open_blob(blob.digest, blob.size, 12345)) == DATA[12345:]
    assert list(repository.open_blob(blob.digest, blob.size, blob.size)) == []


def test_other_bytes_than_asked_for_are_refused(front: Front, path: str, opened: Opened) -> None:
    repository, image = opened(front.address, path), image_of(layer(1))
    push_image(repository, image, "v1")
    held = image.layers[0]
    front.faults += [Fault("GET", held.digest, corrupt=True), Fault("GET", "manifests", corrupt=True)]
    with pytest.raises(ChecksumMismatch, match=held.digest):
        check_there(repository, held)
    with pytest.raises(ChecksumMismatch, match=image.digest):
        repository.get_manifest(image.digest)
    with pytest.raises(ChecksumMismatch, match="more than 5 bytes"):
        list(repository.open_blob(held.digest, 5))


def test_a_blob_goes_from_one_repository_to_another(front: Front, path: str, opened: Opened) -> None:
    origin, target, blob = opened(front.address, path), opened(front.address, f"{path}-2"), data_blob(EMPTY, DATA)
    origin.push(blob)
    front.faults.append(Fault("GET", blob.digest, truncate=1_000_000))
    assert target.push(Blob(blob.descriptor, RemoteContent(origin, blob.descriptor))).bytes == len(DATA)
    check_there(target, blob)


def test_bytes_changed_on_their_way_are_sent_once_more(front: Front, path: str, opened: Opened) -> None:
    front.faults.append(Fault("PATCH", corrupt=True))
    repository, blob = opened(front.address, path), data_blob(EMPTY, DATA)
    assert repository.push(blob).bytes == 2 * len(DATA)
    check_there(repository, blob)


def test_a_registry_that_disputes_a_digest_twice_is_named(
    front: Front, standing: KillableRegistry, path: str, opened: Opened
) -> None:
    front.faults.append(Fault("PATCH", corrupt=True, times=100))
    blob = data_blob(EMPTY, DATA)
    with pytest.raises(DigestDisputed, match=blob.digest) as caught:
        opened(front.address, path).push(blob)
    assert caught.value.exit_code == 63
    check_forgotten(standing, path)


@pytest.mark.parametrize("other", [DATA[:-1] + b"!", DATA[:-1], DATA + b"!"], ids=["other", "shorter", "longer"])
def test_a_content_that_is_not_its_digest_is_not_stored(front: Front, path: str, opened: Opened, other: bytes) -> None:
    @dataclass(frozen=True)
    class Claiming:
        size: int = len(DATA)

        def chunks(self, offset: int = 0) -> Iterator[memoryview]:
            return Data(other).chunks(offset)

    repository, blob = opened(front.address, path), replace(data_blob(EMPTY, DATA), content=Claiming())
    with pytest.raises(ChecksumMismatch, match=blob.digest):
        repository.push(blob)
    assert not repository.has(blob.digest)
    assert not repository.has(sha256_digest(other))
    assert len(front.requests("DELETE")) == 1, "the upload is cancelled"


def test_a_content_of_another_size_is_not_even_sent(front: Front, path: str, opened: Opened) -> None:
    with pytest.raises(ChecksumMismatch, match="3 bytes"):
        opened(front.address, path).push(replace(data_blob(EMPTY, DATA), content=Data(b"abc")))
    assert front.requests("POST") == []


def test_a_file_written_to_while_it_is_read_is_not_stored(
    standing: KillableRegistry, tmp_path: Path, path: str, opened: Opened
) -> None:
    file = tmp_path / "weights"
    file.write_bytes(DATA)
    held = FileContent.of(file)

    @dataclass(frozen=True)
    class Written:
        size: int = len(DATA)

        def chunks(self, offset: int = 0) -> Iterator[memoryview]:
            for chunk in held.chunks(offset):
                yield chunk
                os.utime(file, ns=(0, 0))

    repository, blob = opened(standing.address, path), replace(data_blob(EMPTY, DATA), content=Written())
    with pytest.raises(FileChanged, match="written to"):
        repository.push(blob)
    assert not repository.has(blob.digest)
    check_forgotten(standing, path)


def test_nothing_is_referred_to_after_a_failure_and_the_next_push_ends_right(
    front: Front, path: str, opened: Opened
) -> None:
    image = image_of(*(layer(seed) for seed in range(4)))
    fault = Fault("PATCH", status=400, times=100)
    front.faults += [Fault("PATCH", times=3), fault]
    repository = opened(front.address, path)
    with pytest.raises(RegistryError, match="400"):
        push_image(repository, image, "v1")
    assert repository.get_manifest("v1") is None
    assert front.requests("PUT", "manifests") == []
    fault.times = 0
    push_image(repository, image, "v1")
    assert pulled(repository, "v1") == bytes_of(image)


def test_one_failure_stops_the_other_blobs(front: Front, path: str, opened: Opened) -> None:
    def fail() -> None:
        raise FileChanged("a file changed.", next_action="build again")

    waiting, changed = layer(1), replace(layer(2), content=Watched(DATA[: 2 * BLOCK + 77], BLOCK, fail))
    front.faults.append(Fault("HEAD", waiting.digest, status=503, headers={"Retry-After": "190"}))
    repository = opened(front.address, path)
    with pytest.raises(FileChanged):
        push_image(repository, image_of(waiting, changed), "v1")
    assert [each for each in threading.enumerate() if each.name == "push"] == []
    assert not repository.has(waiting.digest)
    assert repository.get_manifest("v1") is None


def test_an_interrupt_ends_a_push_that_hangs(
    front: Front, standing: KillableRegistry, path: str, opened: Opened
) -> None:
    front.faults.append(Fault("PATCH", stall=1000, times=100))
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        if front.stalling.wait(20):
            signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(Interrupted):
            push_image(opened(front.address, path, replace(HASTY, read=300.0)), image_of(layer(1)), "v1")
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert front.requests("PUT") == []


def test_two_pushes_of_the_same_layers_at_once_both_end_right(
    standing: KillableRegistry, path: str, opened: Opened
) -> None:
    image = image_of(*(layer(seed) for seed in range(3)))
    repositories = [opened(standing.address, path) for _ in range(3)]
    outcomes: list[Pushed | BaseException] = []

    def push(repository: Repository, tag: str) -> None:
        try:
            outcomes.append(push_image(repository, image, tag))
        except BaseException as error:
            outcomes.append(error)

    threads = [threading.Thread(target=push, args=(each, f"v{n % 2}")) for n, each in enumerate(repositories)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each for each in outcomes if not isinstance(each, Pushed)] == []
    assert pulled(repositories[0], "v0") == pulled(repositories[0], "v1") == bytes_of(image)


def configured(folder: Path, entry: dict[str, str], address: str) -> dict[str, str]:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"auths": {address: entry}}))
    return {"DOCKER_CONFIG": str(folder)}


def named(name: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture
def guarded(front: Front) -> Iterator[TokenServer]:
    """A front that lets in whoever shows a token."""
    tokens = TokenServer("baker", SECRET, identity_token="an-identity-token")
    with served(tokens):
        front.guard = tokens
        yield tokens


@pytest.fixture
def shown(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[..., str]:
    """All that somebody could see: both outputs, the log, what was said, and errors with their traces."""
    caplog.set_level("DEBUG")

    def show(said: Sequence[str], *errors: PrebakeError) -> str:
        traces = [line for error in errors for line in traceback.format_exception(error)]
        return "\n".join([*capfd.readouterr(), caplog.text, *said, *traces, *(each.next_action for each in errors)])

    return show


ENTRIES = {"name": named("baker", SECRET), "identity": {**named("baker", ""), "identitytoken": "an-identity-token"}}


@pytest.mark.parametrize("kind", ENTRIES)
def test_a_registry_that_wants_tokens_gets_them_from_its_server(
    front: Front,
    guarded: TokenServer,
    path: str,
    opened: Opened,
    tmp_path: Path,
    shown: Callable[..., str],
    kind: str,
) -> None:
    said: list[str] = []
    environ = configured(tmp_path / "docker", ENTRIES[kind], front.address)
    repository, image = opened(front.address, path, environ=environ, say=said.append), image_of(layer(1), layer(2))
    push_image(repository, image, "v1", mount_from=[f"{path}-other"])
    assert pulled(repository, "v1") == bytes_of(image)
    scopes = [scope for asked in guarded.asked for each in asked["scope"] for scope in each.split()]
    assert f"repository:{path}:pull,push" in scopes
    assert f"repository:{path}-other:pull" in scopes
    assert {service for asked in guarded.asked for service in asked["service"]} == {"the registry, here"}
    assert len(guarded.given) == 3, "one to push, one to mount, one to pull"
    text = shown(said)
    assert not [each for each in (*guarded.given, SECRET, "an-identity-token") if each in text]


def test_a_token_refused_half_way_is_replaced(
    front: Front, guarded: TokenServer, path: str, opened: Opened, tmp_path: Path
) -> None:
    environ = configured(tmp_path / "docker", ENTRIES["name"], front.address)
    repository = opened(front.address, path, environ=environ)
    blob = replace(data_blob(EMPTY, DATA), content=Watched(DATA, PIECE, guarded.valid.clear))
    sent = repository.push(blob)
    assert len(guarded.given) == 2
    assert len(front.requests("POST", "uploads")) == 1, "it goes on with the same upload"
    assert sent.bytes <= len(DATA) + PIECE
    check_there(repository, blob)


def test_a_token_is_not_shown_longer_than_it_lasts(front: Front, path: str, opened: Opened, tmp_path: Path) -> None:
    tokens = TokenServer("baker", SECRET, expires_in=0.000001)
    with served(tokens):
        front.guard = tokens
        environ = configured(tmp_path / "docker", ENTRIES["name"], front.address)
        repository = opened(front.address, path, environ=environ)
        assert not repository.has(sha256_digest(b"1"))
        assert not repository.has(sha256_digest(b"2"))
        assert [seen.headers.get("authorization") for seen in front.seen] == [
            None,
            f"Bearer {tokens.given[-2]}",
            f"Bearer {tokens.given[-1]}",
        ]


def test_wrong_credentials_are_told_and_not_shown(
    front: Front, guarded: TokenServer, path: str, opened: Opened, tmp_path: Path, shown: Callable[..., str]
) -> None:
    said: list[str] = []
    wrong = "another-password"
    environ = configured(tmp_path / "docker", named("baker", wrong), front.address)
    with pytest.raises(RegistryDenied, match="no such user") as caught:
        push_image(opened(front.address, path, environ=environ, say=said.append), image_of(layer(1)), "v1")
    assert caught.value.exit_code == 62
    assert f"docker login {front.address}" in caught.value.next_action
    text = shown(said, caught.value)
    assert wrong not in text
    assert named("baker", wrong)["auth"] not in text


def test_a_token_that_does_not_help_is_told_and_not_shown(
    front: Front, guarded: TokenServer, path: str, opened: Opened, tmp_path: Path, shown: Callable[..., str]
) -> None:
    guarded.useless = True
    environ = configured(tmp_path / "docker", ENTRIES["name"], front.address)
    with pytest.raises(RegistryDenied, match="401") as caught:
        opened(front.address, path, environ=environ).push(layer(1))
    text = shown([], caught.value)
    assert guarded.given
    assert not [each for each in (*guarded.given, SECRET) if each in text]


def test_a_registry_that_wants_a_password_gets_it(
    tmp_path: Path, path: str, opened: Opened, shown: Callable[..., str]
) -> None:
    users = tmp_path / "users"
    users.write_text(f"baker:{BCRYPT}\n")
    with killable_registry(tmp_path, {"htpasswd": {"realm": "tests", "path": str(users)}}) as registry:
        said: list[str] = []
        environ = configured(tmp_path / "docker", named("baker", SECRET), registry.address)
        repository, image = opened(registry.address, path, environ=environ, say=said.append), image_of(layer(1))
        push_image(repository, image, "v1")
        assert pulled(repository, "v1") == bytes_of(image)
        nobody = opened(registry.address, path)
        with pytest.raises(RegistryDenied, match="there are none") as without:
            nobody.get_manifest("v1")
        wrong = configured(tmp_path / "wrong", named("baker", "another-password"), registry.address)
        with pytest.raises(RegistryDenied) as caught:
            opened(registry.address, path, environ=wrong).get_manifest("v1")
        assert f"docker login {registry.address}" in caught.value.next_action
        text = shown(said, without.value, caught.value)
        assert not [each for each in (SECRET, "another-password", named("baker", SECRET)["auth"]) if each in text]


def test_credentials_do_not_follow_an_upload_to_another_host(
    front: Front, guarded: TokenServer, path: str, opened: Opened, tmp_path: Path
) -> None:
    elsewhere = KeepingRegistry()
    with served(elsewhere):
        elsewhere.uploads["0"] = bytearray()
        place = {"Location": f"http://{elsewhere.address}/v2/kept/blobs/uploads/0?signed=yes"}
        environ = configured(tmp_path / "docker", ENTRIES["name"], front.address)
        repository = opened(front.address, path, environ=environ)
        repository.has(sha256_digest(b"1"))
        front.faults.append(Fault("POST", status=202, headers=place))
        repository.push(data_blob(EMPTY, DATA))
        assert len(elsewhere.blobs) == 1
        assert [seen for seen in elsewhere.seen if "authorization" in seen.headers] == []


def signature(subject: Image, text: str) -> Blob:
    config = data_blob(EMPTY, b"{}")
    return document_blob(
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": "application/vnd.example.signature",
            "config": config.descriptor.document(),
            "layers": [config.descriptor.document()],
            "subject": subject.manifest.descriptor.document(),
            "annotations": {"org.example.text": text},
        },
    )


def referrer(blob: Blob, text: str) -> Referrer:
    descriptor = replace(blob.descriptor, annotations={"org.example.text": text})
    return Referrer(descriptor, "application/vnd.example.signature")


def test_referrers_are_kept_under_a_tag_where_the_registry_has_no_list_of_them(
    standing: KillableRegistry, path: str, opened: Opened
) -> None:
    repository, image = opened(standing.address, path), image_of(layer(1))
    push_image(repository, image, "v1")
    repository.push(data_blob(EMPTY, b"{}"))
    assert list_referrers(repository, image.digest) == []
    one, two = signature(image, "one"), signature(image, "two")
    for each in (one, two, one):
        assert put_referrer(repository, each) == each.digest
    assert list_referrers(repository, image.digest) == [referrer(one, "one"), referrer(two, "two")]
    assert repository.resolve(image.digest.replace(":", "-")) is not None


def test_referrers_are_listed_over_all_pages_where_the_registry_lists_them(opened: Opened) -> None:
    registry = KeepingRegistry()
    with served(registry):
        repository, image = opened(registry.address, "kept"), image_of(layer(1))
        signatures = [signature(image, text) for text in ("one", "two", "three")]
        for each in signatures:
            put_referrer(repository, each)
        found = list_referrers(repository, image.digest)
        assert [each.descriptor.digest for each in found] == [each.digest for each in signatures]
        assert len(registry.manifests) == 3, "no index besides"
