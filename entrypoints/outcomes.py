"""What the model made of a form, as the reply that the client gets."""

from __future__ import annotations

import traceback
from collections.abc import Mapping

from entrypoints.contract import Answer, BadRequest, Cancelled
from entrypoints.log import log_event
from entrypoints.replies import Reply, error_reply
from entrypoints.worker import Job


def make_reply(job: Job) -> Reply:
    """Of a job that is done."""
    error = job.answer.exception()
    if error is None:
        waited = job.began.result()
        timing = {"server-timing": f"queue;dur={waited * 1e3:.1f}, generate;dur={job.seconds * 1e3:.1f}"}
        return accept_answer(job.answer.result(), timing)
    if isinstance(error, BadRequest):
        status = error.status if 400 <= error.status < 500 else 422
        return error_reply(status, str(error), {error.field: str(error)} if error.field else {})
    if isinstance(error, Cancelled) and job.cancelled():
        return error_reply(503, f"The request was not finished: {job.cancelled_for}.")
    log_event("generate failed", error=f"{type(error).__name__}: {error}", traceback=traceback.format_exception(error))
    return error_reply(500, "The model failed at this request; the server's log says more.")


def accept_answer(answer: Answer, headers: Mapping[str, str]) -> Reply:
    return Reply(200, answer.body, answer.media_type, {**answer.headers, **headers})
