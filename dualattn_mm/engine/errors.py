"""The exception that the tools show as one line."""


class RunError(ValueError):
    """Something the user can put right; the message is one clear line."""
