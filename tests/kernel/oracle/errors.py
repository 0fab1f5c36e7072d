"""What can go wrong with the oracle."""

from __future__ import annotations


class OracleError(Exception):
    """The oracle could not do it; the message says what and why."""


class Unavailable(OracleError):
    """This machine cannot have an oracle: no QEMU, no registry, a program missing."""


class MachineDied(OracleError):
    """The virtual machine ended or stopped answering; the next case gets a new one."""


class CaseFailed(OracleError):
    """The guest could not carry the case out; the machine is well."""
