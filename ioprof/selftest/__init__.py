"""ioprof measured by itself: runs whose truth is known, through the real runner, asked against measured."""
