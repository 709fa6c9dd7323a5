"""Compare the figures of the paper with those of this implementation (tools/reproduce.py)."""
