"""What can go wrong in the export and compile stages."""

from __future__ import annotations

from prebake.errors import InputProblems, PrebakeError


class BakeError(PrebakeError):
    """A model's export says something that cannot be baked."""

    exit_code = 25


class SettingsInvalid(InputProblems):
    """``settings.json`` is not what the plan should have written."""

    exit_code = 26


class WeightsError(PrebakeError):
    """A weight file is damaged, or not of the kind its name says."""

    exit_code = 34


class ParityFailed(InputProblems):
    """A baked graph answers otherwise than the framework did."""

    exit_code = 42
