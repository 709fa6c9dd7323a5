"""Train the colorizer on a GPU in a few minutes, and compare settings in short pilots."""
