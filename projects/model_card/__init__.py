"""Measurements of the bundled weights beside simple baselines."""
