"""The exception of the tools for training and testing."""

from ..errors import UserError


class RunError(UserError):
    """A config, an option or a file that training and testing cannot use."""
