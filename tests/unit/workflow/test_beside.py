"""What lies beside an image: each thing is put for itself, and what a registry refuses is said and kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prebake.errors import PrebakeError
from prebake.oci.blobs.content import FileChanged
from prebake.oci.errors import DigestDisputed, denied, unreachable, unusable
from prebake.workflow.delivery.attestations import AttestationRefused, attach_all, require_attached
from prebake.workflow.delivery.outputs import Delivery

REFUSALS = [
    unusable("host", "no artifacts here"),
    denied("host", "not you"),
    unreachable("host", "gone"),
    DigestDisputed("other bytes", next_action="look"),
]


def raising(error: PrebakeError) -> Callable[[], None]:
    def put() -> None:
        raise error

    return put


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_a_refusal_of_one_thing_does_not_keep_the_others_back(error: PrebakeError) -> None:
    said: list[str] = []
    put: list[str] = []
    puts = {"records": lambda: put.append("records"), "bill": raising(error), "proof": lambda: put.append("proof")}
    assert attach_all("registry:host/a:v1", puts, said.append) == {"bill": error.message}
    assert put == ["records", "proof"]
    assert said == [f"push: registry:host/a:v1 accepted the image, but refused its bill: {error.message}"]


def test_what_is_wrong_here_is_an_error() -> None:
    with pytest.raises(FileChanged):
        attach_all("registry:a", {"bill": raising(FileChanged("changed", next_action="build"))}, print)


def test_all_that_was_refused_is_in_the_error() -> None:
    require_attached({"docker:a": Delivery("a", 1), "registry:b": Delivery("b", 1)})
    delivered = {
        "registry:a": Delivery("a", 1, {"bill": "no artifacts", "proof": "immutable"}),
        "registry:b": Delivery("b", 1, {"bill": "gone"}),
    }
    with pytest.raises(AttestationRefused) as caught:
        require_attached(delivered)
    assert caught.value.exit_code == 64
    for line in ("registry:a: bill: no artifacts", "registry:a: proof: immutable", "registry:b: bill: gone"):
        assert line in caught.value.message
