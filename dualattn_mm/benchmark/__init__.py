"""Time and memory of the networks beside their peers, measured in one run (tools/benchmark.py)."""
