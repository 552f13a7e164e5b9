"""Searches: which coefficients, which network inside a budget. All ask only what a candidate scores and costs."""
