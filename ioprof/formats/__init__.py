"""Formats that more than one plug-in reads: walks over what was read, and the buffers it was read to."""
