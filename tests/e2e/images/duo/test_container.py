"""Two real models in one image: each answers as its own image does, of the layers of its own image."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from prebake.docker.connection import Connection
from tests.support.commands.built_images import build_image
from tests.support.commands.projects import Built
from tests.support.serving import Service, serving

PROMPT = {"prompt": "a cat in the light of a river", "width": "96", "height": "64", "steps": "3"}
TEXTS = {"texts": "a river\nin the evening"}


@pytest.fixture(scope="module")
def duo(engine: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    with build_image(engine, tmp_path_factory.mktemp("duo"), "duo", "minilm", "zimage") as built:
        yield built


@pytest.fixture(scope="module")
def service(engine: Connection, duo: Built) -> Iterator[Service]:
    with serving(engine, duo.tag) as service:
        yield service


def test_each_answers_as_its_own_image(service: Service, minilm_service: Service, zimage_service: Service) -> None:
    for name, own, fields in (("minilm", minilm_service, TEXTS), ("zimage", zimage_service, PROMPT)):
        ours = service.client.post(f"/v2/models/{name}/generate", data=fields)
        assert ours.status_code == 200, ours.text
        theirs = own.post(data=fields)
        assert ours.content == theirs.content
        assert ours.headers["content-type"] == theirs.headers["content-type"]


def test_every_layer_of_weights_is_one_of_the_single_images(duo: Built, minilm: Built, zimage: Built) -> None:
    kinds = ("weights", "derived")
    single = {*minilm.digests(*kinds).values(), *zimage.digests(*kinds).values()}
    assert set(duo.digests(*kinds).values()) == single
    assert duo.digests("dependencies") == minilm.digests("dependencies")


def test_steps_of_one_are_told_while_the_other_answers(service: Service) -> None:
    stream = {"accept": "text/event-stream"}
    with service.client.stream("POST", "/v2/models/zimage/generate", data=PROMPT, headers=stream) as response:
        assert service.client.post("/v2/models/minilm/generate", data=TEXTS).status_code == 200
        text = "".join(response.iter_text())
    assert "event: progress" in text
    assert "event: answer" in text


def test_no_model_has_the_plain_path(service: Service) -> None:
    message, _ = service.refusal(404, data=TEXTS)
    assert "/v2/models/minilm/generate" in message
    assert "/v2/models/zimage/generate" in message
