"""What training asks that is about boxes: losses, batches, and what a detector gets right."""
