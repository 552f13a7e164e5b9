"""Shared by all tests; it lets any test say `from tests.images import make_folder`."""
