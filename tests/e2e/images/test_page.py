"""The page of each image: a whole generation in Chromium, as a person makes one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.browser.chromium import running_chromium
from tests.support.browser.visit import Visit, visiting
from tests.support.foley.clips import Clip, make_clip
from tests.support.models.heygem_recordings import portrait, record, speech
from tests.support.serving import Service

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

PATIENCE = 120_000
"""Milliseconds of a generation on a shared CPU."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


def generate(visit: Visit) -> Locator:
    visit.send()
    answer = visit.page.locator("#answer")
    answer.wait_for(timeout=PATIENCE)
    return answer


def choose(visit: Visit, field: str, name: str, content: bytes) -> None:
    visit.field(field).set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": content})


def wait_until_loaded(media: Locator) -> float:
    """The seconds of a sound or a clip."""
    media.evaluate("(media) => media.readyState || new Promise((loaded) => { media.onloadedmetadata = loaded; })")
    return float(media.evaluate("(media) => media.duration"))


def test_minilm_compares_sentences(browser: Browser, minilm_service: Service) -> None:
    with visiting(browser, minilm_service.port) as visit:
        visit.open().wait_for_form()
        visit.field("texts").fill("A man is eating food.\nA man eats something.\nThe weather is cold today.")
        cells = [float(text) for text in generate(visit).locator("tbody td").all_inner_texts()]
        assert len(cells) == 9
        assert cells[0] == cells[4] == cells[8] == 1
        assert cells[1] > cells[2]
        assert visit.find_serious_problems() == []


def test_foley_makes_a_sound_for_a_clip(browser: Browser, foley_service: Service) -> None:
    with visiting(browser, foley_service.port) as visit:
        visit.open().wait_for_form()
        assert "a verb and a material" in visit.page.locator("#field-prompt-help").inner_text()
        choose(visit, "video", "clip.mp4", make_clip(Clip()))
        visit.field("prompt").fill("scraping metal")
        visit.field("steps").fill("2")
        assert wait_until_loaded(generate(visit).locator("audio")) > 0.5
        choose(visit, "video", "clip.mp4", b"no clip")
        visit.send()
        visit.page.locator("#field-video-problem", has_text="video").wait_for(timeout=PATIENCE)


def test_zimage_makes_a_picture(browser: Browser, zimage_service: Service) -> None:
    with visiting(browser, zimage_service.port) as visit:
        visit.open().wait_for_form()
        visit.field("prompt").fill("a lake in the evening")
        for name, value in {"width": "64", "height": "64", "steps": "2"}.items():
            visit.field(name).fill(value)
        picture = generate(visit).locator("img")
        assert picture.evaluate("(image) => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [
            64,
            64,
        ]


def test_heygem_makes_a_clip_of_a_voice_and_a_face(browser: Browser, heygem_service: Service) -> None:
    with visiting(browser, heygem_service.port) as visit:
        visit.open().wait_for_form()
        choose(visit, "audio", "voice.mp3", record(speech(0.6, 44_100), "mp3", "libmp3lame", 44_100))
        choose(visit, "face", "face.png", portrait(1, 300, 400))
        visit.field("steps").fill("1")
        clip = generate(visit).locator("video")
        assert wait_until_loaded(clip) > 0.4
        assert clip.evaluate("(clip) => clip.videoWidth") > 0
