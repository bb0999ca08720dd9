"""An SVG picture of an image's layers: the size of each, the bytes that are sent, and whether it was rebuilt."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from prebake.io.byte_sizes import format_bytes
from prebake.measure.report.report_files import LayerReport

WIDTH, LEFT, RIGHT, ROW, BAR = 820, 210, 190, 24, 14
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#24292f}.light{fill:#57606a}.reused{fill:#8c959f}.built{fill:#54aeff}"
    ".rebuilt{fill:#bf8700}.whole{fill:none;stroke:#8c959f}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.light{fill:#9198a1}}"
)


def draw_layers(layers: Sequence[LayerReport]) -> str:
    """Draw the layers, those of the base first. The outline is as wide as the layer's files, the bar in it as the blob that is
    sent."""
    scale = (WIDTH - LEFT - RIGHT) / max([1, *(max(layer.size, layer.blob_size) for layer in layers)])
    height = ROW * len(layers) + 12
    rows = "".join(_row(number, layer, scale) for number, layer in enumerate(layers))
    label = f"{len(layers)} layers, {format_bytes(sum(layer.blob_size for layer in layers))} to send"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{label}"><style>{STYLE}</style>{rows}</svg>\n'
    )


def _row(number: int, layer: LayerReport, scale: float) -> str:
    top, whole, sent = number * ROW + 6, max(layer.size * scale, 1.0), max(layer.blob_size * scale, 1.0)
    label = f"{format_bytes(layer.size)}, sent as {format_bytes(layer.blob_size)}"
    return (
        f'<text x="8" y="{top + 11}">{escape(layer.name)}<title>{escape(f"{layer.status}: {layer.reason}")}</title></text>'
        f'<rect class="{layer.status}" x="{LEFT}" y="{top}" width="{sent:.1f}" height="{BAR}" rx="2"/>'
        f'<rect class="whole" x="{LEFT}" y="{top}" width="{whole:.1f}" height="{BAR}" rx="2"/>'
        f'<text class="light" x="{LEFT + max(whole, sent) + 6:.1f}" y="{top + 11}">{escape(label)}</text>'
    )
