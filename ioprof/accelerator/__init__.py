"""What consumes batches: nothing, or an emulated model of a known accelerator."""
