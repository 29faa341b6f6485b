"""What a person is meant to read."""


class InputError(Exception):
    """The user's input is wrong; the message says what to do. The command line turns it into exit code 2."""


class ImageSizeError(InputError):
    """The network shrinks its images away: at a larger data.image_size the same choices fit."""
