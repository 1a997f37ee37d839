"""The documentation against the code: its tables are the code's, and its commands run."""
