"""Values that plans are made of: artifacts, and projects of several models."""

from __future__ import annotations

from dataclasses import replace

from prebake.documents.artifact import ArtifactFile, make_label
from prebake.documents.canonical import digest_json
from prebake.spec.image.image import ServedModel
from prebake.spec.project import Project
from tests.support.manifests import make_artifact

SPEC = """\
schema: 2
name: tiny
title: Tiny
targets: [cpu, cuda]
checkpoint: sample
checkpoints:
  sample:
    license: {id: MIT}
    sources:
      - from: sample
        seed: 7
        files: [net/model.safetensors, net/vocab.txt, old.pth]
        ship: [net/model.safetensors, net/vocab.txt]
  real:
    license: {id: LicenseRef-Strict, requires_acceptance: true, text: README.md}
    sources:
      - {from: http, url: "https://example.invalid/w", files: [model.safetensors], ship: [model.safetensors], to: net}
components:
  net: {}
  old: {derived: true}
"""


def artifact(machine: str, saved: float = 1.0, component: str = "net", name: str = "native") -> ArtifactFile:
    fields = {"machine": machine, "name": name}
    key = digest_json(fields)
    home = f"compiled/{component}/{make_label(name, key)}"
    measured = {"graph": {"seconds": saved}, name: {"seconds": 0.0}}
    entry = make_artifact(
        name=name,
        graph=f"{home}/model.onnx",
        requires={"processor": machine},
        choice={"candidate": name, "baseline": "graph", "candidates": measured},
        key=key,
        key_inputs=fields,
    )
    files = {
        f"{home}/{path}": {"size": 7, "sha256": digit * 64, "origin": "compiled"}
        for path, digit in (("model.onnx", "1"), ("w", "2"))
    }
    return ArtifactFile(component, entry, files)


def named(project: Project, name: str) -> Project:
    return replace(project, spec=project.spec.model_copy(update={"name": name}))


def several(*members: Project) -> Project:
    names = {member.spec.name: member for member in members}
    spec = members[0].spec.model_copy(update={"name": "pair", "models": {name: ServedModel() for name in names}})
    return replace(members[0], spec=spec, models=names, templates={**members[0].templates, "stages/join.j2": "join"})
