"""The pipeline as a recursion over batches: when each is asked for, made and used, and what every moment waits for."""
