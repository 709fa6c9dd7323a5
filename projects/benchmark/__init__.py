"""Measure the time and memory of our networks and other ones in turns (run.py)."""
