"""A blind study of which results people prefer (Fig. 7)."""
