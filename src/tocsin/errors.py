"""The one exception that the command line turns into a sentence instead of a traceback."""


class UserError(Exception):
    """A mistake the user can mend: one clear sentence with the remedy. The CLI exits with 2."""
