"""The step loop: batches from a loader, through an accelerator, into a run directory."""
