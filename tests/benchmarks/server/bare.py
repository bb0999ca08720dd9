"""minilm behind a bare Starlette application and uvicorn: ``python -m tests.benchmarks.server.bare MODELS PORT``.

It is the least that a deployment writes: one process, uvicorn's h11 protocol and its access log, a JSON body, one thread for the
model. Session, tokenizer and answer are those of the image: the container's own code opens MODELS, a copy of ``/models``. There
are no limits, no queue, no metrics, no deadlines, and no second process.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from entrypoints.components.opener import Opener
from entrypoints.contract import Model
from entrypoints.files.verification import Verification
from entrypoints.hardware.cpu_quota import count_cpus
from entrypoints.manifest.reader import read_manifest
from entrypoints.processes.timeline import Timeline
from images.minilm.model import create


def open_model(models: Path) -> Model:
    """As a container opens it: the same artifact, session options and number of threads."""
    manifest = read_manifest(models)
    verification = Verification(models, manifest)
    verification.add_threads(1)
    opener = Opener(models, manifest, Timeline(), verification)
    opener.start(count_cpus())
    return create(opener.components)


def make_app(model: Model) -> Starlette:
    worker = ThreadPoolExecutor(1)

    async def generate(request: Request) -> Response:
        form = await request.json()
        answer = await asyncio.get_running_loop().run_in_executor(worker, model.generate, form, lambda: False)
        return Response(answer.body, media_type=answer.media_type)

    return Starlette(routes=[Route("/generate", generate, methods=["POST"])])


def main() -> None:
    uvicorn.run(make_app(open_model(Path(sys.argv[1]))), host="127.0.0.1", port=int(sys.argv[2]), http="h11")


if __name__ == "__main__":
    main()
