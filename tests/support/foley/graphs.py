"""Five small graphs with the signatures of the exported ones, whose results can be worked out by hand."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
from onnx import parser

from entrypoints.runtime.onnx_session import OnnxSession
from tests.support.foley.words import write_tokenizer

HEADER = '<ir_version: 10, opset_import: ["" : 20]>\n'

GRAPHS = {
    # Token ids in thousandths, nought where the mask is.
    "clap": """clap (int64[B, T] input_ids, int64[B, T] attention_mask) => (float[B, T, 2] hidden)
    <int64[1] last = {2}, float[1, 1, 2] scale = {0.001, 0.0005}> {
        kept = Mul(input_ids, attention_mask)
        number = Cast<to = 1>(kept)
        column = Unsqueeze(number, last)
        hidden = Mul(column, scale)
    }""",
    # The mean of each colour.
    "siglip2": """siglip2 (float[B, 3, 512, 512] pixels) => (float[B, 3] features)
    <int64[2] plane = {2, 3}> { features = ReduceMean<keepdims = 0>(pixels, plane) }""",
    # The mean of each colour of each frame, two frames a token.
    "synchformer": """synchformer (float[W, 3, 16, 224, 224] windows) => (float[W, 8, 6] features)
    <int64[2] plane = {3, 4}, int64[3] shape = {-1, 8, 6}> {
        means = ReduceMean<keepdims = 0>(windows, plane)
        frames = Transpose<perm = [0, 2, 1]>(means)
        features = Reshape(frames, shape)
    }""",
    # latents / 2 + (time / 1000) * (mean of text + where conditional: order-dependent means of visual and sync)
    "transformer": """transformer (float[B, 128, N] latents, float[B] timestep, float[B, T, 2] text,
    float[B, M, 3] visual, float[B, W, 8, 6] sync, bool[B] conditional) => (float[B, 128, N] velocity)
    <int64 one = {1}, int64[2] two = {1, 2}, int64[3] three = {1, 2, 3}, float nought = {0}, float half = {0.5},
    float thousand = {1000}, int64[3] rows = {-1, 1, 1}> {
        said = ReduceMean<keepdims = 0>(text, two)
        ran = CumSum(visual, one)
        seen = ReduceMean<keepdims = 0>(ran, two)
        ticked = CumSum(sync, one)
        timed = ReduceMean<keepdims = 0>(ticked, three)
        shown = Add(seen, timed)
        told = Where(conditional, shown, nought)
        sum = Add(said, told)
        share = Div(timestep, thousand)
        push = Mul(sum, share)
        pushed = Reshape(push, rows)
        halved = Mul(latents, half)
        velocity = Add(halved, pushed)
    }""",
    # The mean over the channels, held for 960 samples.
    "dac": """dac (float[1, 128, N] latents) => (float[1, 1, S] audio)
    <int64[1] channels = {1}, int64[1] last = {3}, int64[4] hop = {1, 1, 1, 960}, int64[3] shape = {1, 1, -1}> {
        mean = ReduceMean(latents, channels)
        column = Unsqueeze(mean, last)
        held = Expand(column, hop)
        line = Reshape(held, shape)
        audio = Tanh(line)
    }""",
}


class Folder:
    """The model's components: sessions over the graphs above, and a tokenizer in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        write_tokenizer(folder / "clap" / "tokenizer.json")

    def session(self, name: str) -> OnnxSession:
        graph = parser.parse_model(HEADER + GRAPHS[name])
        onnx.checker.check_model(graph, full_check=True)
        return OnnxSession(onnxruntime.InferenceSession(graph.SerializeToString()))

    def path(self, name: str) -> Path:
        return self._folder / name
