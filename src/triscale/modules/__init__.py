"""Any nn.Module: what it costs, and the same module wider and deeper, found by tracing and proven by running."""
