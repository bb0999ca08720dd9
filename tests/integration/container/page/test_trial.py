"""The form of the page: a request with each kind of field, each kind of answer, progress, failures and cancellation."""

from __future__ import annotations

import io
import struct
import wave
import zlib

import numpy as np
import pytest

from tests.support.browser.visit import Visit
from tests.support.container.running import Server


def make_png() -> bytes:
    """A picture of one pixel."""
    chunks = ((b"IHDR", struct.pack(">2I5B", 1, 1, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0\x80")), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def make_wav() -> bytes:
    """Half a second of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 8000, 4000, "NONE", ""))
        sound.writeframes(bytes(8000))
    return file.getvalue()


def make_webm() -> bytes:
    """Five grey frames."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=5)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 128, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def choose_file(visit: Visit, content: bytes, name: str = "clip") -> None:
    visit.field("clip").set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": content})


def test_a_form_has_each_field_and_sends_it(visit: Visit, server: Server) -> None:
    assert visit.field("values").evaluate("(field) => field.tagName") == "TEXTAREA"
    assert visit.field("repeat").get_attribute("max") == "5"
    assert visit.field("manner").locator("option").count() > 5
    visit.field("values").fill("1,2,3,4")
    visit.field("factor").fill("2")
    visit.field("repeat").fill("3")
    choose_file(visit, bytes(1234), "wide.bin")
    visit.wait_for_text("[data-chosen]", "wide.bin, 1.2 KiB")
    answer = visit.send().wait_for_answer()
    shown = answer.locator("pre").inner_text()
    expected = server.post(data={"values": "1,2,3,4", "factor": "2", "repeat": "3"}, files={"clip": bytes(1234)}).json()
    assert (expected["clip"], expected["repeat"]) == (1234, 3)
    assert visit.page.evaluate("(text) => JSON.parse(text)", shown) == expected
    assert visit.page.evaluate("document.activeElement.id") == "answer"
    visit.wait_for_text("#requests tbody tr", "POST /generate")
    visit.wait_for_text("#hits", "Hit rate: 100%")


def test_a_file_can_be_dropped(visit: Visit) -> None:
    transfer = visit.page.evaluate_handle(
        """() => {
          const transfer = new DataTransfer();
          transfer.items.add(new File(["dropped"], "dropped.txt"));
          return transfer;
        }"""
    )
    visit.page.dispatch_event(".drop", "drop", {"dataTransfer": transfer})
    visit.wait_for_text("[data-chosen]", "dropped.txt, 7 B")
    visit.field("values").fill("1,2,3,4")
    assert '"clip": 7' in visit.send().wait_for_answer().inner_text()


MEDIA = {
    "image/png": (make_png, "img", "(image) => image.decode().then(() => image.naturalWidth)"),
    "audio/wav": (make_wav, "audio", "(sound) => sound.duration"),
    "video/webm": (make_webm, "video", "(clip) => clip.duration && clip.videoWidth"),
}


@pytest.mark.parametrize("media_type", MEDIA)
def test_media_are_shown_in_the_page(visit: Visit, media_type: str) -> None:
    make, tag, measure = MEDIA[media_type]
    visit.field("values").fill("1,2,3,4")
    choose_file(visit, make())
    visit.field("answer").select_option(media_type)
    element = visit.send().wait_for_answer().locator(tag)
    if tag != "img":
        element.evaluate("(media) => media.readyState || new Promise((loaded) => { media.onloadedmetadata = loaded; })")
    assert element.evaluate(measure) > 0
    assert element.get_attribute("src", timeout=1000) == visit.page.locator("#answer a").get_attribute("href")


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml"])
def test_an_answer_runs_no_script(visit: Visit, media_type: str) -> None:
    visit.field("values").fill("1,2,3,4")
    script = "<script>parent.broken = window.broken = 1</script>"
    choose_file(visit, f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{script}</svg>'.encode())
    visit.field("answer").select_option(media_type)
    answer = visit.send().wait_for_answer()
    assert visit.page.evaluate("window.broken") is None
    assert answer.locator("pre, img").count() == 1


def test_other_files_can_be_saved(visit: Visit) -> None:
    visit.field("values").fill("1,2,3,4")
    choose_file(visit, b"PK")
    visit.field("answer").select_option("application/zip")
    link = visit.send().wait_for_answer().locator("a")
    with visit.page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "answer.zip"
    assert download.value.path().read_bytes() == b"PK"


def test_sentences_are_compared(visit: Visit) -> None:
    visit.field("values").fill("1,2,3,4")
    visit.field("answer").select_option("embeddings")
    visit.field("texts").fill("a river\na river\nroom")
    table = visit.send().wait_for_answer().locator("table")
    assert table.locator("tbody th").all_inner_texts() == ["1. a river", "2. a river", "3. room"]
    cells = table.locator("tbody td").all_inner_texts()
    assert cells == ["1.00", "1.00", "0.00", "1.00", "1.00", "0.00", "0.00", "0.00", "1.00"]


def test_the_words_of_the_server_are_shown_at_the_field(visit: Visit) -> None:
    visit.field("values").fill("1,2")
    assert visit.send().wait_for_failure() == "values should be 4 numbers"
    problem = visit.page.locator("#field-values-problem")
    assert problem.inner_text() == "values should be 4 numbers"
    assert visit.field("values").get_attribute("aria-invalid") == "true"
    assert "field-values-problem" in (visit.field("values").get_attribute("aria-describedby") or "")
    assert visit.page.evaluate("document.activeElement.name") == "values"
    visit.field("values").fill("1,2,3,4")
    visit.send().wait_for_answer()
    assert problem.inner_text() == ""
    assert not visit.page.locator("#failure").is_visible()


def test_a_model_that_fails_is_told(visit: Visit) -> None:
    visit.field("values").fill("1,2,3,4")
    visit.field("manner").select_option("crash")
    failure = visit.send().wait_for_failure()
    assert "failed" in failure
    visit.wait_for_text("#requests tr.failed", "500")


def test_progress_is_shown_by_step(visit: Visit, server: Server) -> None:
    visit.field("values").fill("1,2,3,4")
    visit.field("manner").select_option("steps")
    visit.send()
    for step in (1, 2, 3):
        server.leave_note(f"step-{step}")
        visit.wait_for_text("#progress-text", f"Step {step} of 3")
        assert visit.page.locator("#progress").evaluate("(bar) => [bar.value, bar.max]") == [step, 3]
    server.leave_note("release")
    visit.wait_for_answer()
    assert not visit.page.locator("#work").is_visible()
    (server.notes / "release").unlink()


def test_a_request_can_be_cancelled_by_keyboard(visit: Visit, server: Server) -> None:
    visit.field("values").fill("1,2,3,4")
    visit.field("manner").select_option("hold")
    visit.page.focus("#send")
    visit.page.keyboard.press("Enter")
    server.wait_for_note("holding")
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.id") == "cancel"
    visit.page.keyboard.press("Enter")
    assert visit.wait_for_failure() == "Cancelled."
    server.wait_for_note("cancelled")
    assert visit.page.evaluate("document.activeElement.id") == "send"
