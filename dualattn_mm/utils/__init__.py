"""Common code of all other packages: files, errors, argument checks and color spaces."""
