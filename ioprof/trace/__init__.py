"""What a run leaves behind: schemas, the recorder of the hot path, and the reader."""
