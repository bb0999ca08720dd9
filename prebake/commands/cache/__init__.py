"""``prebake cache list|verify|prune``: the local store that all builds share."""

from prebake.commands.cache import list_objects, prune, verify_objects

COMMANDS = (list_objects.COMMAND, verify_objects.COMMAND, prune.COMMAND)
