"""Repeats the accesses of a recorded run on a store: with the recorded timing, or as fast as the store allows."""
