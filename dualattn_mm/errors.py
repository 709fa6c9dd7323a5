"""What all errors that a user can put right have in common."""


class UserError(ValueError):
    """Something the user can put right; the message is one clear line, and needs no traceback."""
