"""A summary as people and machines read it: terminal, JSON, pages, timelines."""
