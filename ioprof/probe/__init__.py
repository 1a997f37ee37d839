"""The most that a store gives for one access pattern, with no loader in the way."""
