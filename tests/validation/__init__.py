"""Predictions of the pipeline model against real reruns: `make validate`."""
