"""Errors of the model, each with the words its user sees."""


class OffloadError(Exception):
    """The root of everything ``offload`` raises."""


class TcError(OffloadError):
    """A command tc itself rejects: printed as it is, exit code 1."""

    exit_code = 1


class KernelError(OffloadError):
    """A command the kernel rejects: exit code 2, as tc does.

    ``extack`` is the kernel's extended message; without one, ``errno_text``
    (``File exists``) is what tc prints after ``RTNETLINK answers:``.
    """

    exit_code = 2

    def __init__(self, extack: str = "", errno_text: str = "Invalid argument") -> None:
        super().__init__(extack or errno_text)
        self.extack = extack
        self.errno_text = errno_text


class Unsupported(OffloadError):
    """EOPNOTSUPP: one half of the pipeline cannot do this; ``str()`` says why."""


class AlreadyRegistered(OffloadError):
    """EEXIST: this callback is registered on this flow table already."""
