"""Damaged and hostile files, thousands of them, for every reader of the package."""
