"""Published packages with graphs inside, taken through ``prebake init`` and ``prebake build``. Run by hand."""
