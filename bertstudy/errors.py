"""The one error a reader can mend."""


class BertstudyError(ValueError):
    """Something the user can put right: a wrong name, a missing file, a bad value.

    The message is one line that says what was wrong and what is allowed; the command line
    prints it without a traceback and exits with status 2.
    """
