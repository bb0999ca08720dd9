"""A clone in which images begin."""

from tests.support.commands.init_projects import beginner, begun

__all__ = ["beginner", "begun"]
