"""The model manifest: the file in a models folder that lists its files, components and compiled artifacts."""

MODEL_MANIFEST = "manifest.json"
"""Its path in ``/models``, or in the folder of one model of several. The container has the same name in
``entrypoints.manifest.values``. An OCI image manifest is another thing, and so is ``docker save``'s ``manifest.json``."""
