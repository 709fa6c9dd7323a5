"""Measure how stable and how accurate the colors of films are."""
