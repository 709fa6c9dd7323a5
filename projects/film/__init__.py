"""Measure how stable and how accurate the colors of videos are."""
