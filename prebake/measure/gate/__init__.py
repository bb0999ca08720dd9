"""The gate: two images started in turn, and a verdict on the difference of their starts."""
