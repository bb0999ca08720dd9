"""Programs for work on Prebake, and for the GitHub action."""
