"""What goes wrong with a service, as one line that says what to do."""

from infra.errors import Problem


class ServiceError(Problem):
    """A service cannot be started, reached or stopped; the message is one line for the person at the terminal."""
