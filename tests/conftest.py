"""Shared by all tests; being in the package `tests`, it also makes `from tests.images import make_folder` work everywhere."""
