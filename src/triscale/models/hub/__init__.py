"""Models on the Hugging Face Hub: `hf://OWNER/REPO` as a place that weights are read from and pushed to."""
