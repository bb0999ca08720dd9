from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from prebake.measure.report.layer_picture import draw_layers
from prebake.measure.report.report_files import LayerReport

SVG = "{http://www.w3.org/2000/svg}"


def layer(name: str, size: int, blob_size: int, status: str) -> LayerReport:
    digest = "sha256:" + "1" * 64
    return LayerReport(name, "weights", "k", {}, digest, size, digest, blob_size, "raw", status, "why <so>")


def test_each_layer_has_its_name_its_share_and_its_reason() -> None:
    layers = [layer("base & more", 100 << 20, 40 << 20, "reused"), layer("weights", 200 << 20, 200 << 20, "rebuilt")]
    picture = ElementTree.fromstring(draw_layers(layers))
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert texts == ["base & more", "100.0 MiB, sent as 40.0 MiB", "weights", "200.0 MiB, sent as 200.0 MiB"]
    assert [title.text for title in picture.iter(f"{SVG}title")] == ["reused: why <so>", "rebuilt: why <so>"]
    bars = [(bar.get("class"), float(bar.get("width") or 0)) for bar in picture.iter(f"{SVG}rect")]
    (_, sent), (_, whole), (_, largest), _ = bars
    assert [kind for kind, _ in bars] == ["reused", "whole", "rebuilt", "whole"]
    assert abs(sent / whole - 0.4) < 0.01
    assert abs(whole / largest - 0.5) < 0.01


def test_an_image_of_empty_layers_can_be_drawn() -> None:
    ElementTree.fromstring(draw_layers([layer("nothing", 0, 0, "built")]))
