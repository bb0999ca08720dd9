"""Triton's model repository extension: the index of all models, and an operator's requests: load, unload, clear."""

from __future__ import annotations

import asyncio

from entrypoints.contract import BadRequest
from entrypoints.forms.limits import RequestMemory
from entrypoints.forms.raw_clear import RawClear
from entrypoints.open_inference import repository
from entrypoints.processes.log import request_context
from entrypoints.response import HTTPException, Response, error_response, json_response
from entrypoints.server.open_inference.offered_models import OfferedModels, is_known
from entrypoints.server.open_inference.request import Request, read_header
from entrypoints.server.receiving import receive_body, wait_until_done
from entrypoints.server.served_model import ServedModel
from entrypoints.settings import Settings

BODY_SECONDS = 30.0
"""The longest time that the body of such a request, which is small, may take."""
MEMORY = 4 * 1024 * 1024
"""Bytes that the bodies of all such requests may take together."""


class ModelRepository:
    def __init__(self, models: OfferedModels, settings: Settings) -> None:
        self._models = models
        self._admin_token = settings.admin_token
        self._memory = RequestMemory(MEMORY)

    async def list_models(self, request: Request) -> Response:
        """Raises BadRequest (400, 413)."""
        only_ready = repository.read_index_request(await self._receive(request))
        entries = [
            describe_entry(offered.name, self._models.find_owner(offered)) for offered in self._models.directory.listed
        ]
        unknown = [model for model in self._models.served if model.label and not is_known(model)]
        entries += [describe_entry(model.label, model) for model in unknown]
        return json_response(200, repository.describe_index(entries, only_ready=only_ready))

    async def load(self, request: Request) -> Response:
        """Raises NotAllowed, BadRequest, UnknownModel, ModelStarting, and HTTPException if the model cannot be loaded."""
        served = await self._find(request)
        await served.find_residency().load(served)
        return json_response(200, {})

    async def unload(self, request: Request) -> Response:
        """Raises NotAllowed, BadRequest, UnknownModel, ModelStarting, and HTTPException if the model has not started."""
        served = await self._find(request)
        await served.find_residency().unload(served)
        return json_response(200, {})

    async def clear(self, request: Request) -> Response:
        """The model process gives back memory that no request uses, after the requests that wait. Raises NotAllowed, BadRequest,
        UnknownModel, ModelStarting, and HTTPException (503, 504) if it cannot."""
        served = await self._find(request)
        if served.state != "ready":
            raise HTTPException(error_response(503, f"The model {served.label} is {served.state}."))
        loop = asyncio.get_running_loop()
        seconds = served.generate.limits.seconds
        inference = served.link.submit(RawClear(context=request_context.get()), None, loop.time() + seconds)
        if not await wait_until_done(inference.response, seconds):
            inference.cancel("it waited for too long")
            raise HTTPException(error_response(504, f"The model was at work for {seconds:g} s; retry later."))
        return inference.response.result()

    async def _find(self, request: Request) -> ServedModel:
        """The model that the request is about, if its client may load and unload it."""
        repository.check_admin(read_header(request.headers, b"authorization"), self._admin_token)
        repository.check_load_request(await self._receive(request))
        offered, served = self._models.find(request.route)
        if offered.name != served.label:
            message = f"{offered.name} is a graph of {served.label}, and is loaded, unloaded and cleared with it."
            raise BadRequest(message, status=400)
        request.state["model"] = served.label
        return served

    async def _receive(self, request: Request) -> bytes:
        deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        with self._memory.share() as share:
            return await receive_body(request.receive, repository.MAX_BODY_BYTES, share, deadline)


def describe_entry(name: str, model: ServedModel) -> repository.IndexEntry:
    return repository.IndexEntry(name, model.state, model.status.reason if model.state == model.status.state else None)
