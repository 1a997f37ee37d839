"""Datasets on a store: layout, content, manifest, parallel preparation, verification, safe removal."""
