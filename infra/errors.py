"""Bad news for the person at the terminal: one line that says what to do. The command line prints it and exits with its code."""


class Problem(Exception):
    """``exit_code`` 1: it may pass, a supervisor tries again. 2: it cannot be helped by trying again."""

    exit_code = 1


class Hopeless(Problem):
    """Wrong configuration, keys or clock: a restart would meet it again."""

    exit_code = 2
