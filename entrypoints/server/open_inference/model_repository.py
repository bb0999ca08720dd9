"""Triton's model repository extension: the index of all models, and requests to load and unload one."""

from __future__ import annotations

import asyncio

from entrypoints.contract import BadRequest
from entrypoints.forms.limits import RequestMemory
from entrypoints.open_inference import repository
from entrypoints.response import Response, json_response
from entrypoints.server.open_inference.offered_models import OfferedModels, is_known
from entrypoints.server.open_inference.request import Request, read_header
from entrypoints.server.open_inference.residency import Residency
from entrypoints.server.receiving import receive_body
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
        self._residency = Residency(settings)

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
        await self._residency.load(await self._find(request))
        return json_response(200, {})

    async def unload(self, request: Request) -> Response:
        """Raises NotAllowed, BadRequest, UnknownModel, ModelStarting, and HTTPException if the model has not started."""
        await self._residency.unload(await self._find(request))
        return json_response(200, {})

    async def _find(self, request: Request) -> ServedModel:
        """The model that the request is about, if its client may load and unload it."""
        repository.check_admin(read_header(request.headers, b"authorization"), self._admin_token)
        repository.check_load_request(await self._receive(request))
        offered, served = self._models.find(request.route)
        if offered.name != served.label:
            message = f"{offered.name} is a graph of {served.label}, and is loaded and unloaded with it."
            raise BadRequest(message, status=400)
        request.state["model"] = served.label
        return served

    async def _receive(self, request: Request) -> bytes:
        deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        with self._memory.share() as share:
            return await receive_body(request.receive, repository.MAX_BODY_BYTES, share, deadline)


def describe_entry(name: str, model: ServedModel) -> repository.IndexEntry:
    return repository.IndexEntry(name, model.state, model.status.reason if model.state == model.status.state else None)
