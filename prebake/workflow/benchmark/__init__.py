"""``prebake bench``: the image compared with its naive image, or with a baseline that it must not be slower than."""
