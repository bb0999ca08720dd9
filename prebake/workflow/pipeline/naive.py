"""The naive image: the same weights in the model's own ``naive.Dockerfile``. demo and bench compare with it."""

from __future__ import annotations

from prebake.docker.images.base_image import Base
from prebake.plan.artifact_layers import with_artifacts
from prebake.plan.values import Plan
from prebake.render.dockerfile import render_context
from prebake.workflow.pipeline.step_runner import Workspace, fetch_checkpoints
from prebake.workflow.stages.buildkit import Builder
from prebake.workflow.stages.context import write_context


def build_naive(plan: Plan, base: Base, workspace: Workspace) -> None:
    """Build it in the Engine, as ``plan.naive_tag``."""
    fetch_checkpoints(plan, workspace)
    store, log = workspace.layers.store, workspace.steps.log
    with workspace.steps.step("naive", plan.naive_tag):
        rendered = render_context(with_artifacts(plan, {}), workspace.project.templates)
        context = write_context(workspace.folder / "naive", rendered, store)
        builder = Builder(
            connection=workspace.connection, context=context, base=base.reference, scratch=store.folder, log=log
        )
        builder.image(None, plan.naive_tag, "naive.Dockerfile")
