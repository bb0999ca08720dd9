"""All kinds of hostile requests, and the request of each number: a seed and a number always give the same one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.hostile import forms, framing, heads, tensors
from tests.support.hostile.message import HostileRequest, Make, Target

KINDS: Sequence[Make] = (
    heads.make_target,
    heads.make_broken_line,
    heads.make_large_head,
    heads.make_event_stream,
    heads.make_header_values,
    heads.make_damaged,
    heads.make_cut_head,
    framing.make_chunks,
    framing.make_tiny_chunks,
    framing.make_both_lengths,
    framing.make_length,
    framing.make_cut_body,
    framing.make_slow_body,
    framing.make_waiting_body,
    forms.make_json,
    forms.make_values,
    forms.make_many_names,
    forms.make_json_bomb,
    forms.make_urlencoded,
    forms.make_multipart,
    forms.make_compressed,
    tensors.make_infer_json,
    tensors.make_binary,
    tensors.make_raw_tensor,
    tensors.make_protocol_path,
)
DESCRIBED_SHARE = 4
"""One request in so many is one that schemathesis derived, if there are any."""


@dataclass(frozen=True)
class Catalogue:
    """``described``: the requests that were derived from the container's own OpenAPI document."""

    seed: int
    target: Target
    described: Sequence[HostileRequest] = ()

    def request(self, number: int) -> HostileRequest:
        turn, place = divmod(number, DESCRIBED_SHARE)
        if self.described and place == 0:
            return self.described[turn % len(self.described)]
        draw = random.Random(f"{self.seed}:{number}")
        return draw.choice(KINDS)(draw, self.target)
