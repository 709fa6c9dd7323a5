"""The paper's figures beside those of this implementation: tools/reproduce.py."""
