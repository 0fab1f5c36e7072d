"""Registers are declared once, and mlx5's state is OVS's in another order."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from controller import fields
from controller.fields import REGISTERS, Field, flower_ct_state, ovs_ct_state
from offload.flower import CtState

# Where OVS keeps the bits of its wide registers.
NARROW = {"xxreg0": range(0, 4), "xxreg1": range(4, 8), "xxreg2": range(8, 12)}


def bits(field: Field) -> set[tuple[int, int]]:
    """The (32-bit register, bit) pairs that a register field takes."""
    every = range(field.start, field.start + field.bits)
    if field.oxm in NARROW:
        first = NARROW[field.oxm].start
        return {(first + bit // 32, bit % 32) for bit in every}
    return {(int(field.oxm.removeprefix("reg")), bit) for bit in every}


def test_no_two_registers_share_a_bit() -> None:
    for one, other in combinations(REGISTERS, 2):
        assert not bits(one) & bits(other), (one.name, other.name)


def test_every_register_is_in_the_list_once() -> None:
    declared = [
        field
        for field in vars(fields).values()
        if isinstance(field, Field) and "reg" in field.oxm
    ]
    assert sorted(map(id, declared)) == sorted(map(id, REGISTERS))
    assert len({register.name for register in REGISTERS}) == len(REGISTERS)


def test_a_register_fits_and_says_whose_counterpart_it_is() -> None:
    for register in REGISTERS:
        assert register.start + register.bits <= register.width
        assert register.counterpart


def test_registers_are_as_wide_as_mlx5s() -> None:
    widths = {register.name: register.bits for register in REGISTERS}
    assert (widths["chain_tag"], widths["zone"], widths["ct_state"]) == (16, 16, 16)
    assert (widths["tuple_id"], widths["mark"], widths["fte_id"]) == (24, 32, 32)


@given(st.integers(0, 63).map(CtState))
def test_ct_state_goes_to_ovs_and_back(state: CtState) -> None:
    assert flower_ct_state(ovs_ct_state(state)) == state


def test_ct_state_as_ovs_numbers_it() -> None:
    """Source: OVS include/openvswitch/meta-flow.h (CS_NEW, ...)."""
    assert ovs_ct_state(CtState.NEW | CtState.TRK) == 0x21
    assert ovs_ct_state(CtState.EST | CtState.RPL | CtState.TRK) == 0x2A
    assert flower_ct_state(0x20 | fields.OVS_SNAT) == CtState.TRK
