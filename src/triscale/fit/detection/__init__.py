"""`fit` for images with boxes: a detector instead of a classifier."""
