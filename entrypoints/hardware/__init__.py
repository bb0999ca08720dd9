"""Facts of this machine: processor, GPU, memory, and limits of the container."""
