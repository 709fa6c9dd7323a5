"""Training the colorizer on a GPU that is there for some minutes, and pilots before it."""
