"""Checkpoints beside a run: the state that is saved, the files that hold it, and the threads that write them."""
