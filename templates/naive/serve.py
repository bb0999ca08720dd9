"""A model service as most people write it: the model is loaded by the first request that needs it."""

import importlib
import os
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

model = None


def answer(fields: dict) -> tuple[bytes, str]:
    global model
    if model is None:
        model = importlib.import_module(os.environ["PREBAKE_NAIVE"]).load(Path("/checkpoint"))
    return model.generate(fields)


async def generate(request: Request) -> Response:
    async with request.form(max_part_size=2**26) as form:
        fields = {name: value if isinstance(value, str) else await value.read() for name, value in form.items()}
    body, media_type = await run_in_threadpool(answer, fields)
    return Response(body, media_type=media_type)


async def live(_: Request) -> Response:
    return JSONResponse({"live": True})


app = Starlette(routes=[Route("/generate", generate, methods=["POST"]), Route("/v2/health/live", live)])

if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=8000, log_level="warning")  # noqa: S104 - in a container
