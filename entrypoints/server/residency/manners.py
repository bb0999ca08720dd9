"""How a model is loaded that is not in memory. ``WHOLE``: as at a start. ``VERIFIED``: this container has verified its files
before. ``BEGUN``: besides, its first answer was right before, and the request that waits begins while components still open."""

WHOLE, VERIFIED, BEGUN = "whole", "verified", "begun"
