"""Starting an image and timing it: answers, phases, the floor, benchmarks, the report."""
