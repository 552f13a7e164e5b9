"""From a trained network to a file that ships: fuse, export, verify, run and time it."""
