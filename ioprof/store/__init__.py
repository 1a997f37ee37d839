"""The place data lives: a path or any fsspec URL, through one small interface."""
