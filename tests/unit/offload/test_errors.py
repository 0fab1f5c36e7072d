"""The words an error carries to its user."""

from offload.errors import KernelError, TcError, Unsupported


def test_the_kernels_own_words_come_first() -> None:
    error = KernelError("Filter already exists", "File exists")
    assert (str(error), error.errno_text) == ("Filter already exists", "File exists")


def test_without_them_the_error_number_speaks() -> None:
    assert str(KernelError(errno_text="File exists")) == "File exists"
    assert str(KernelError()) == "Invalid argument"


def test_tc_and_the_kernel_exit_differently() -> None:
    assert (TcError("x").exit_code, KernelError("x").exit_code) == (1, 2)
    assert str(Unsupported("why")) == "why"
