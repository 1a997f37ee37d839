"""A run as a trace that opens in Perfetto and in chrome://tracing: who did what when, on one time axis."""
