"""All commands by name, in the order of ``prebake --help``, each with its one-line help.

``prebake.cli`` prints the help of all commands without importing their modules, of which each imports the values of its requests.
The module of a command has its name, with ``_`` for ``-``.
"""

from __future__ import annotations

HELP = {
    "build": "build an image, verify it and measure its start (the default command)",
    "run": "start a built image on this machine; with --watch, follow changes of its code without a build",
    "compile": "compile artifacts for this machine's hardware, for builds on any machine",
    "explain": "show the layers, where they are cached, and what a change rebuilds and pushes",
    "init": "write images/NAME/ for a checkpoint, ready to build",
    "lock": "pin every file of the checkpoints, the system packages and the base image in weights.lock",
    "upgrade": "rewrite image.yaml and weights.lock from an earlier schema to the present one",
    "bench": "compare the image's start with a naive image, or judge it against a baseline",
    "trace": "write a start as a trace, which Perfetto opens",
    "demo": "build and start an image, send a request, and show the measured start",
    "bake-file": "write build contexts and docker-bake.json for `docker buildx bake`",
    "deploy": "print a Kubernetes Deployment and Service",
    "verify": "compare an image at a registry with the lock and this checkout, byte for byte",
    "engine": "start, stop, show or remove a private Docker Engine, for machines without one",
    "schema": "print the JSON Schema of image.yaml, or of the gate's result",
    "cache": "list, verify or prune the local store that all builds share",
}
