"""A program in place of ``prebake``: it writes the files and ends with the codes that ``behaviour.json`` beside it asks for."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
DIGEST = "sha256:" + "ab" * 32
CODES = {"pass": 0, "fail": 46, "unclear": 69}
PLAN = {"room": {"store": 10, "engine": 20}, "pipeline": [{"action": "export", "state": "run"}]}


def main(words: list[str]) -> int:
    behaviour = json.loads((FOLDER / "behaviour.json").read_text())
    with (FOLDER / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(words) + "\n")
    command, model = words[0], words[1]
    project = Path(next(word for word in words if word.startswith("--project=")).partition("=")[2])
    step = "plan" if "--plan" in words else "push" if any(word.startswith("--push=") for word in words) else command
    if error := behaviour.get(step, {}).get("error"):
        Path(os.environ["PREBAKE_ERROR_FILE"]).write_text(json.dumps({"schema": 1, **error}))
        return int(error["exit_code"])
    if step != "plan":
        print(behaviour.get("log", ""))
    if step == "plan":
        print(json.dumps({**PLAN, **behaviour.get("plan", {})}))
    elif command == "build":
        report = {"image": f"prebake/{model}:cpu-small", "digest": DIGEST, "ttfi_seconds": 0.61, "size": 1_500_000}
        _write(project / "build" / model / "report.json", json.dumps({**report, **behaviour.get(step, {})}))
    else:
        wanted = behaviour["bench"]
        if "--gate" in words:  # image.yaml has no limits
            wanted = {"verdict": "pass", "document": {"checks": [], "ttfi_seconds": 0.61, "ratio": None}}
        return _bench(project / "build" / "bench" / f"{model}-gate", wanted)
    return 0


def _bench(path: Path, wanted: dict[str, Any]) -> int:
    document = {
        "verdict": wanted["verdict"],
        "message": wanted.get("message", ""),
        "ttfi_seconds": 0.9,
        "ratio": 1.46,
        "checks": [{"name": "regression"}],
    }
    _write(path.with_name(f"{path.name}.json"), json.dumps({**document, **wanted.get("document", {})}))
    _write(path.with_name(f"{path.name}.md"), wanted.get("markdown", f"### {wanted['verdict']}\n"))
    return CODES[wanted["verdict"]]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
