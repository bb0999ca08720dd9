"""How a CPU opens a component, settled by trial; and what was packed ahead as a compiled form of this kind of processor."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import onnxruntime as ort

from entrypoints.machine import find_facts
from prebake.bake.component import Session
from prebake.bake.documents import digest_file, digest_json
from prebake.bake.forms import PROVIDER, WORTH_TRYING, choose_form

RUNG = "native"


class Settled(NamedTuple):
    """``artifact``: the manifest's words on the form packed ahead, where that is the best; its files then lie at ``place``."""

    session: Session
    choice: Mapping[str, object] = {}
    artifact: Mapping[str, object] | None = None


def settle(
    graph: Path, case: Path, session: Session, weights: int, place: Path, fields: Mapping[str, object]
) -> Settled:
    """How ``graph`` is opened: as settings say, or as trials do where they leave it open and ``weights`` bytes are worth it.

    place: where the form packed ahead goes, ``compiled/<component>/native`` under the image's models.
    fields: the compile key's, which its own key follows from.
    """
    if not session.measure or weights < WORTH_TRYING:
        return Settled(session)
    with choose_form(graph, case, session) as (chosen, folder):
        if folder is None:
            return Settled(chosen.session, chosen.told)
        shutil.copytree(folder, place)
    return Settled(chosen.session, chosen.told, _describe(place, fields))


def _describe(place: Path, fields: Mapping[str, object]) -> dict[str, object]:
    """Paths are relative to ``models``: the folder above ``compiled``."""
    path = f"compiled/{place.parent.name}/{place.name}"
    here = dict(find_facts(PROVIDER))
    whole = {**fields, **here, "form": digest_file(place / "model.onnx")}
    data = place / "weights.data"
    return {
        "rung": RUNG,
        "graph": f"{path}/model.onnx",
        "provider": PROVIDER,
        "options": {},
        "session": {"optimize": "disable", "prepack": True},
        "fields": here,
        "least": {},
        "reads": {f"{path}/weights.data": [[0, data.stat().st_size]]},
        "key": digest_json(whole),
        "key_fields": whole,
    }


def open_native(place: Path) -> ort.InferenceSession:
    """As the container will, to be compared with the framework."""
    from prebake.bake.sessions import open_session

    return open_session(place / "model.onnx", Session("disable", prepack=True), [PROVIDER])
