"""What every other package builds on: files, errors, argument checks and color spaces."""
