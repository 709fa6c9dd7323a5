"""Measure the time and memory of our networks and other ones alternately (run.py)."""
