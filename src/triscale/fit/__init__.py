"""The main job: from images and a budget to a trained, exported, verified network with a report."""
