"""Objects that hold many samples each: how they are written and read, format by format."""
