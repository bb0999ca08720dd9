"""What the framework answers to texts, in a process of its own: `python framework.py TASK FOLDER`, requests as JSON on stdin.

It imports nothing of this project, so that no code that an image was made with is part of what it is compared with.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def ask_framework(task: str, folder: Path, requests: list[dict[str, Any]]) -> Any:
    """The answers to requests, each with ``texts`` and further options of ``encode``; in the form of the image's results."""
    command = [sys.executable, "-W", "ignore", __file__, task, str(folder)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    ended = subprocess.run(
        command, cwd=folder, env=environment, input=json.dumps(requests), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1])


def embed(folder: str, requests: list[dict[str, Any]]) -> list[Any]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": "float32"})
    answers = []
    for request in requests:
        encode = getattr(model, request.pop("method", "encode"))
        answers.append(encode(request.pop("texts"), **request).tolist())
    return answers


def classify(folder: str, requests: list[dict[str, Any]]) -> list[Any]:
    from transformers import pipeline

    ask = pipeline("text-classification", model=folder, device="cpu", dtype="float32")
    found = [ask(request["texts"], top_k=None, truncation=True) for request in requests]
    return [[{each["label"]: each["score"] for each in scores} for scores in every] for every in found]


def tag(folder: str, requests: list[dict[str, Any]]) -> list[Any]:
    from transformers import pipeline

    ask = pipeline("token-classification", model=folder, device="cpu", dtype="float32", aggregation_strategy="simple")
    return [[_spans(text, ask(text)) for text in request["texts"]] for request in requests]


def _spans(text: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "word": text[each["start"] : each["end"]],
            "label": each["entity_group"],
            "score": float(each["score"]),
            "start": each["start"],
            "end": each["end"],
        }
        for each in found
    ]


if __name__ == "__main__":
    answer = {"embed": embed, "classify": classify, "tag": tag}[sys.argv[1]]
    print(json.dumps(answer(sys.argv[2], json.load(sys.stdin))))
