"""Any nn.Module: what it costs, the same module wider and deeper, and the user's own from `file.py:factory`."""
