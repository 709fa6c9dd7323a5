"""Time and memory of our networks and their peers, measured in turns (run.py)."""
