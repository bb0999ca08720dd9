"""Registries as they are: every one of these habits was reported, and a blob arrives at each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from prebake.oci.blobs.blobs import EMPTY, data_blob
from prebake.oci.errors import RegistryError
from prebake.oci.transfer.upload_options import UploadSettingInvalid
from tests.support.registries.pushes import DATA, HASTY, Opened
from tests.support.registry_servers.habits import Habits, HabitualRegistry, Trouble
from tests.support.registry_servers.server import Seen, served

KIB, MIB = 1 << 10, 1 << 20
SMALL = b"a" * 1000


def sent_whole(registry: HabitualRegistry) -> bool:
    return not registry.requests("PATCH") and len(registry.requests("POST")) == 2


def in_chunks(registry: HabitualRegistry) -> bool:
    return bool(registry.requests("PATCH"))


def always(_registry: HabitualRegistry) -> bool:
    return True


@dataclass(frozen=True)
class Case:
    """``upload`` is PREBAKE_UPLOAD; ``expected`` looks at what the registry was asked."""

    habits: Habits
    expected: Callable[[HabitualRegistry], bool] = always
    upload: str = ""


ECR = Habits(statuses={"PATCH": 201}, range=lambda has, first: f"0-{first - 1}")
CASES = {
    "the specification's": Case(Habits(), sent_whole),
    "Amazon ECR": Case(ECR, sent_whole),
    "Amazon ECR, in chunks": Case(ECR, in_chunks, "1MiB"),
    "416 and an offset that stays at the first chunk": Case(replace(ECR, stumbles=True), in_chunks, "1MiB"),
    "GHCR": Case(Habits(chunk=4 * MIB), sent_whole),
    "GHCR, in chunks of 1 MiB": Case(Habits(chunk=4 * MIB), in_chunks, "1MiB"),
    "a lower limit of chunks than was asked for": Case(Habits(chunk=MIB), in_chunks, "3MiB"),
    "a limit of chunks below all that are tried": Case(Habits(chunk=1), always, "3MiB"),
    "a limit of chunks below its own least size": Case(Habits(chunk=MIB, least=2 * MIB), always, "1MiB"),
    "Google Artifact Registry": Case(Habits(patch=404), sent_whole),
    "Google Artifact Registry, asked for chunks": Case(Habits(patch=404), in_chunks, "1MiB"),
    "405 to PATCH": Case(Habits(patch=405), in_chunks, "1MiB"),
    "501 to PATCH": Case(Habits(patch=501), in_chunks, "1MiB"),
    "400 to PATCH": Case(Habits(patch=400), in_chunks, "1MiB"),
    "404 between chunks": Case(Habits(forgets=2), in_chunks, "1MiB"),
    "a proxy that takes 1 MiB": Case(Habits(body=MIB), lambda found: in_chunks(found) and found.largest == MIB),
    "a proxy that refuses early": Case(Habits(body=MIB, early="then reads on"), in_chunks),
    "a proxy that refuses early and hangs up": Case(Habits(body=MIB, early="then hangs up"), in_chunks),
    "a proxy that takes 300 kB": Case(
        Habits(body=300_000), lambda found: in_chunks(found) and found.largest == 256 * KIB
    ),
    "a proxy, and chunks of a least size": Case(
        Habits(body=3 * MIB, least=2 * MIB),
        lambda found: {seen.headers["content-length"] for seen in found.requests("PATCH")} >= {str(2 * MIB)},
    ),
    "a proxy before Amazon ECR": Case(replace(ECR, body=MIB), in_chunks),
    "a redirect of POST": Case(Habits(redirects=("POST",)), always),
    "a redirect of PUT": Case(Habits(redirects=("PUT",)), always),
    "a redirect of PATCH": Case(Habits(redirects=("PATCH",)), in_chunks, "1MiB"),
    "redirects of everything, 308": Case(Habits(redirects=("POST", "PUT", "HEAD", "DELETE"), redirect=308), always),
    "redirects of everything, 301": Case(Habits(redirects=("POST", "PUT"), redirect=301), always),
    "a relative Location": Case(Habits(location=lambda _, path: path.rpartition("/")[2]), sent_whole),
    "a Location with a query": Case(Habits(location=lambda _, path: f"{path}?_state=a%3D%3D&b=%2F"), sent_whole),
    "a whole Location": Case(Habits(location=lambda address, path: f"http://{address}{path}"), sent_whole),
    "a Location without a scheme": Case(Habits(location=lambda address, path: f"{address}{path}"), sent_whole),
    "a Location with https, where http is spoken": Case(
        Habits(location=lambda address, path: f"https://{address}{path}"), sent_whole
    ),
    "a Location whose port a proxy forgot": Case(
        Habits(location=lambda address, path: f"http://{address.partition(':')[0]}{path}"), sent_whole
    ),
    "a session that expired": Case(Habits(troubles=(Trouble("PUT", 404),)), always),
    "a session that is gone": Case(Habits(troubles=(Trouble("PUT", 410),)), always),
    "429": Case(Habits(troubles=(Trouble("PUT", 429, {"Retry-After": "0"}),)), always),
    "429 to every method": Case(
        Habits(troubles=tuple(Trouble(method, 429, {"Retry-After": "0"}) for method in ("HEAD", "POST", "PUT"))), always
    ),
    "500 after the whole body": Case(Habits(troubles=(Trouble("PUT", 500, times=2),)), always),
    "502 and 504 between": Case(Habits(troubles=(Trouble("PUT", 502), Trouble("PUT", 504))), always),
    "cut in the middle": Case(Habits(troubles=(Trouble("PUT", cut=700, times=2),)), always),
    "cut in the middle of a chunk": Case(Habits(troubles=(Trouble("PATCH", cut=700_000),)), in_chunks, "1MiB"),
    "a HEAD that is behind": Case(Habits(blind=True), sent_whole),
    "HEAD is not known": Case(Habits(statuses={"HEAD": 405}), sent_whole),
    **{
        f"{status} for every success": Case(
            Habits(statuses=dict.fromkeys(("POST", "PATCH", "PUT", "HEAD", "DELETE"), status)), always, upload
        )
        for status in (200, 201, 202, 204)
        for upload in ("", "1MiB")
    },
}


@pytest.mark.parametrize("name", CASES)
def test_a_blob_arrives(opened: Opened, name: str) -> None:
    case = CASES[name]
    registry = HabitualRegistry(case.habits)
    with served(registry):
        repository = opened(registry.address, "habits", upload=case.upload)
        small, large = data_blob(EMPTY, SMALL), data_blob(EMPTY, DATA)
        for blob in (small, large):
            assert repository.push(blob).how == "sent"
        assert registry.blobs == {small.digest: SMALL, large.digest: DATA}
        assert case.expected(registry)


def refused(registry: HabitualRegistry) -> list[Seen]:
    return [seen for seen in registry.requests("PUT") if int(seen.headers["content-length"]) > MIB]


def test_what_a_host_needed_is_remembered(opened: Opened) -> None:
    registry = HabitualRegistry(Habits(body=MIB))
    with served(registry):
        repository = opened(registry.address, "habits", limits=None)
        repository.push(data_blob(EMPTY, DATA))
        assert len(refused(registry)) == 1
        opened(registry.address, "another", limits=None).push(data_blob(EMPTY, DATA[1:]))
        assert len(refused(registry)) == 1
        assert len(registry.blobs) == 2


def test_whole_is_never_chunks(opened: Opened) -> None:
    registry = HabitualRegistry(Habits(body=MIB))
    with served(registry):
        with pytest.raises(RegistryError, match=r"413.*PREBAKE_UPLOAD=whole"):
            opened(registry.address, "habits", upload="whole").push(data_blob(EMPTY, DATA))
        assert not in_chunks(registry)


@pytest.mark.parametrize(
    ("habits", "reason"),
    [
        (Habits(body=MIB, patch=405), r"takes no request above 1\.0 MiB, and no chunks: PATCH \S+ answers 405"),
        (Habits(body=MIB, least=3 * MIB), r"413, though it asks for chunks of 3145728 bytes at least"),
        (Habits(body=10), "413"),
        (Habits(redirects=("POST",), location=lambda *_: ""), "answers 202 without a Location"),
    ],
    ids=["neither whole nor in chunks", "chunks that it does not let through", "nothing at all", "no Location"],
)
def test_a_registry_that_can_take_nothing_is_an_error_that_says_so(opened: Opened, habits: Habits, reason: str) -> None:
    registry = HabitualRegistry(habits)
    with served(registry):
        with pytest.raises(RegistryError, match=reason):
            opened(registry.address, "habits", retry_policy=HASTY).push(data_blob(EMPTY, DATA))
        assert registry.blobs == {}


def test_a_circle_of_redirects_ends(opened: Opened) -> None:
    registry = HabitualRegistry(
        Habits(troubles=(Trouble("POST", 307, {"Location": "/v2/a/blobs/uploads/"}, times=99),))
    )
    with served(registry):
        with pytest.raises(RegistryError, match="redirects POST more than 5 times"):
            opened(registry.address, "a").push(data_blob(EMPTY, SMALL))
        assert len(registry.requests("POST")) == 5


@pytest.mark.parametrize("text", ["chunks", "0", "-1MiB", "16", "16 apples"])
def test_a_setting_that_is_none_is_named(opened: Opened, text: str) -> None:
    with pytest.raises(UploadSettingInvalid, match=text) as caught:
        opened("127.0.0.1:1", "a", upload=text)
    assert caught.value.exit_code == 65
