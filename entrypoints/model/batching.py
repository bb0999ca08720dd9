"""A batch: requests that the model answers by one call of its ``generate_batch``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from entrypoints.contract import Cancelled
from entrypoints.hardware.memory import is_out_of_memory
from entrypoints.model.inference import RunningBatch
from entrypoints.processes.log import log_event, request_context
from entrypoints.runtime.arena import find_arenas

if TYPE_CHECKING:
    from entrypoints.contract import Answer, BatchModel
    from entrypoints.model.inference import FormCall, Inference

    Outcome = Answer | BaseException


class Member(NamedTuple):
    """A request of a batch."""

    inference: Inference
    call: FormCall


def answer_batch(inferences: Sequence[Inference]) -> list[Outcome]:
    """The outcome of each, in the worker's thread. One that was cancelled meanwhile is left out of the batch."""
    calls = [inference.call for inference in inferences]
    batch_size = sum(call is not None for call in calls)
    members: list[Member] = []
    cancelled: list[Outcome] = []
    for inference, call in zip(inferences, calls, strict=True):
        if call is None:
            cancelled.append(inference.work())
            continue
        inference.batch_size = 0 if members else batch_size
        inference.begin()
        members.append(Member(inference, call))
    running = RunningBatch([inference for inference, _ in members])
    for inference, _ in members:
        inference.batch = running
        if inference.cancel_reason is not None:  # since it was taken from the queue
            inference.cancel(inference.cancel_reason)
    computed = iter(compute(members))
    others = iter(cancelled)
    return [next(others if call is None else computed) for call in calls]


def compute(members: Sequence[Member]) -> list[Outcome]:
    """The outcome of each request, which is an exception if it failed. Never raises."""
    if len(members) <= 1:
        return [compute_alone(member) for member in members]
    outcomes, is_memory = compute_together(members)
    if outcomes is not None:
        return [finish(member, outcome) for member, outcome in zip(members, outcomes, strict=True)]
    if not is_memory:
        return [compute_alone(member) for member in members]
    find_arenas().shrink_soon()
    half = len(members) // 2
    return [*compute(members[:half]), *compute(members[half:])]


def compute_together(members: Sequence[Member]) -> tuple[Sequence[Outcome] | None, bool]:
    """No outcomes if the model raised; then, whether it was for lack of memory. The exception is gone when this returns, and with
    it what the model's frames held."""
    model = cast("BatchModel", members[0].call.model)
    request_context.set({"request_ids": ", ".join(call.context.get("request_id", "") for _, call in members)})
    try:
        outcomes = model.generate_batch([call.values for _, call in members], [inference for inference, _ in members])
        if len(outcomes) != len(members):
            raise TypeError(f"generate_batch() should return {len(members)} answers, not {len(outcomes)}")
    except BaseException as error:  # the thread must outlive every exception of a model, SystemExit too
        is_memory = is_out_of_memory(error)
        action = "two smaller batches are tried" if is_memory else "each request is tried alone"
        text = f"{type(error).__name__}: {error}"
        log_event("batch failed", level="warning", size=len(members), error=text, action=action)
        return None, is_memory
    return outcomes, False


def compute_alone(member: Member) -> Outcome:
    try:
        if member.inference.cancelled():
            raise Cancelled
        return member.call(member.inference)
    except BaseException as error:  # as above
        return error


def finish(member: Member, outcome: Outcome) -> Outcome:
    """The answer to send: one of the Open Inference Protocol has a form of its own."""
    inference, call = member
    if isinstance(outcome, BaseException):
        return outcome
    computed = time.perf_counter()
    try:
        answer = call.finish(inference, lambda: outcome)
    except Exception as error:
        return error
    if inference.times is not None:  # the batch has computed it
        inference.times = inference.times._replace(compute_infer=int((computed - inference.began) * 1e9))
    return answer
