"""Compare the bundled weights with simple baselines."""
