"""The one exception that a person is meant to read."""


class InputError(Exception):
    """The user's input is wrong; the message says what to do. The command line turns it into exit code 2."""
