"""Fixtures of several folders of this tier."""

from tests.support.container.plugin import installed, plugin

__all__ = ["installed", "plugin"]
