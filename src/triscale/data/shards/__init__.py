"""Images in tar files: written, found again by offset, and read in an order that disks and networks like."""
