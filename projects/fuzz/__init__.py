"""Test every file reader of the package with thousands of damaged and hostile files."""
