"""The one exception that means "the user can mend this"."""


class UserError(Exception):
    """Wrong input, state or option.

    The message is one sentence that names the file, line or utterance, says what was
    expected, and how to mend it. `kdasr.cli` prints it without a traceback and exits 1.
    """
