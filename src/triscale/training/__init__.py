"""Training: a recipe and a run folder in, a trained network out; stopped anywhere, it goes on exactly."""
