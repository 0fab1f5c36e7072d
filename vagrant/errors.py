"""What can go wrong, in words for the user."""


class VagrantError(Exception):
    """The root of everything this package raises; ``str()`` is one line."""


class Unfit(VagrantError):
    """This machine lacks something, or somebody else is using it."""


class StepFailed(VagrantError):
    """A command of a step failed or took too long."""
