"""The blinded study of which method's results people prefer (Fig. 7)."""
