"""The version of Prebake whose code serves in this image; equal to ``prebake.__version__``, which the container has not."""

VERSION = "0.1.0"
