"""The smallest setting of a loader that feeds: measures a few, predicts the rest, verifies the winner."""
