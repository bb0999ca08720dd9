"""What the framework answers to texts, in a process of its own: `python framework.py`, a question in each line of stdin.

It imports nothing of this project, so that no code that an image was made with is part of what it is compared with. One process
answers all questions of a test process: importing transformers takes longer than most answers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from functools import cache
from pathlib import Path
from typing import Any


def ask_framework(task: str, folder: Path, requests: list[dict[str, Any]]) -> Any:
    """The answers to requests, each with ``texts`` and further options of ``encode``; in the form of the image's results."""
    framework = _start()
    assert framework.stdin is not None
    assert framework.stdout is not None
    framework.stdin.write(json.dumps([task, str(folder), requests]) + "\n")
    framework.stdin.flush()
    line = framework.stdout.readline()
    assert line, f"the framework's process ended with {framework.wait()}"
    answer = json.loads(line)
    assert "error" not in answer, answer["error"]
    return answer["answers"]


@cache
def _start() -> subprocess.Popen[str]:
    """It ends when this process does, which closes its stdin."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    command = [sys.executable, "-W", "ignore", __file__]
    return subprocess.Popen(command, cwd="/", env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


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


def serve() -> None:
    """Answer the lines of stdin. What the framework prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        task, folder, requests = json.loads(line)
        try:
            document: dict[str, Any] = {
                "answers": {"embed": embed, "classify": classify, "tag": tag}[task](folder, requests)
            }
        except Exception:
            document = {"error": traceback.format_exc()}
        print(json.dumps(document), file=answers, flush=True)


if __name__ == "__main__":
    serve()
