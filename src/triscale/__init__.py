"""triscale: scale depth, width and resolution together."""
