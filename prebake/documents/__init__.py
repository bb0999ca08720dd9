"""The documents that plan, stages and container hand to one another. Standard library only."""
