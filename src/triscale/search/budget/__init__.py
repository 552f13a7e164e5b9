"""The best network inside hard limits: a Gaussian process on the score, asked only where the cost is inside."""
