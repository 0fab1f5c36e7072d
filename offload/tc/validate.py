"""What the kernel refuses in a command, whatever state it is in.

Source: net/sched/cls_api.c:tc_new_tfilter, tc_del_tfilter,
net/sched/cls_flower.c:fl_change, fl_validate_ct_state
"""

from __future__ import annotations

from offload.actions import MAX_ACTIONS
from offload.cls_api import Change
from offload.errors import KernelError, Unsupported
from offload.flower import CtState, Key
from offload.tc.command import (
    ChainEdit,
    ChainShow,
    Command,
    FilterAdd,
    FilterDel,
    FilterGet,
    FilterShow,
    Hook,
)
from offload.tc.control import MAX_CHAIN

NO_PRIO = "Invalid filter command with priority of zero"
BAD_CHAIN = "Specified chain index exceeds upper limit"
NO_CLASS = "Qdisc not classful"
FLUSH_WITH_MORE = "Cannot flush filters with protocol, handle or kind set"


def validate(command: Command) -> None:
    """Raise KernelError as the kernel would before it looks at its tables."""
    match command:
        case FilterAdd():
            _validate_add(command)
        case FilterDel():
            _refuse(not command.prio and _names_more(command), FLUSH_WITH_MORE)
            _validate_place(command.hook, command.chain)
        case FilterGet():
            _validate_place(command.hook, command.chain)
        case ChainEdit():
            _validate_place(command.hook, command.chain)
        case FilterShow() | ChainShow():
            _refuse((command.chain or 0) > MAX_CHAIN, BAD_CHAIN)
        case _:
            pass


def kernel_text(error: KernelError) -> str:
    """What tc prints when the kernel refuses.

    Source: iproute2 lib/libnetlink.c:print_ext_ack_msg
    """
    if error.extack:
        why = f"Error: {error.extack.removesuffix('.')}."
    else:
        why = f"RTNETLINK answers: {error.errno_text}"
    return f"{why}\nWe have an error talking to the kernel"


def _refuse(condition: bool, extack: str) -> None:
    if condition:
        raise KernelError(extack)


def _names_more(command: FilterDel) -> bool:
    return bool(command.protocol or command.handle or command.kind)


def _validate_place(hook: Hook, chain: int | None) -> None:
    _refuse(hook is Hook.ROOT, NO_CLASS)
    _refuse((chain or 0) > MAX_CHAIN, BAD_CHAIN)


def _validate_add(command: FilterAdd) -> None:
    _refuse(not command.prio and command.change is Change.CHANGE, NO_PRIO)
    if not command.protocol:  # tc then asks for EtherType 0, which no packet has
        raise Unsupported("filter change: say the protocol")
    _validate_place(command.hook, command.chain)
    if command.skip_sw and command.skip_hw:
        raise KernelError()
    too_many = f"Only support up to {MAX_ACTIONS} actions per filter"
    _refuse(len(command.actions) > MAX_ACTIONS, too_many)
    state = command.match.get(Key.CT_STATE)
    if state is not None:
        validate_ct_state(CtState(state.value & state.mask))


def validate_ct_state(state: CtState) -> None:
    """Refuse flags that no packet can have together; absent ones are free."""
    inv = CtState.TRK | CtState.INV
    _refuse(
        bool(state) and CtState.TRK not in state,
        "no trk, so no other flag can be set",
    )
    _refuse(
        CtState.NEW | CtState.EST in state,
        "new and est are mutually exclusive",
    )
    _refuse(
        CtState.INV in state and bool(state & ~inv),
        "when inv is set, only trk may be set",
    )
    _refuse(
        CtState.NEW | CtState.RPL in state,
        "new and rpl are mutually exclusive",
    )
