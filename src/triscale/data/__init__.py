"""Folders and CSV files to batches: what is there, whether it is sound, and how an image reaches the network."""
