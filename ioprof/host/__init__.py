"""What the kernel says: facts about the host, a sampler beside the run, and counters of one thread."""
