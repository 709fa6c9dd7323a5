"""Use exported networks without this package, and measure how fast runtimes run them."""
