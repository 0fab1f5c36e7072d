"""Keys and matches."""

from offload.flower import (
    ETH_P_8021Q,
    ETH_P_IP,
    ETH_P_IPV6,
    Key,
    KeyMatch,
    Match,
    PortRange,
    Shape,
)


def test_a_key_knows_its_word_and_width() -> None:
    assert (Key.DST_IPV6.keyword, Key.DST_IPV6.bits) == ("dst_ip", 128)
    assert Key.CT_STATE.full_mask == 0x3F


def test_two_keys_may_share_a_word() -> None:
    assert Key.DST_IPV4.keyword == Key.DST_IPV6.keyword
    assert len({Key.DST_IPV4, Key.DST_IPV6}) == 2


def test_a_match_tells_what_it_asks_of_a_key() -> None:
    asked = KeyMatch(Key.CT_MARK, 1, 3)
    match = Match(ETH_P_IP, (asked,))
    assert match.get(Key.CT_MARK) is asked
    assert match.get(Key.CT_ZONE) is None


def test_masks_are_equal_whatever_the_values() -> None:
    one = Match(ETH_P_IP, (KeyMatch(Key.CT_MARK, 1, 3),))
    two = Match(ETH_P_IP, (KeyMatch(Key.CT_MARK, 2, 3),))
    assert one.mask == two.mask == Shape(((Key.CT_MARK, 3),))


def test_a_range_and_a_device_are_part_of_the_mask_but_not_their_values() -> None:
    one = Match(ETH_P_IP, (), (PortRange(Key.DST_PORT, 1, 9),), "ens1f0_0")
    two = Match(ETH_P_IP, (), (PortRange(Key.DST_PORT, 5, 7),), "ens1f0_1")
    assert one.mask == two.mask == Shape(ranges=(Key.DST_PORT,), indev=True)
    assert one.mask != Match(ETH_P_IP).mask


def test_the_ethertype_is_the_one_behind_the_tags() -> None:
    inner = KeyMatch(Key.VLAN_ETHTYPE, ETH_P_8021Q, 0xFFFF)
    innermost = KeyMatch(Key.CVLAN_ETHTYPE, ETH_P_IPV6, 0xFFFF)
    assert Match(ETH_P_IP).eth_type == ETH_P_IP
    assert Match(ETH_P_8021Q).eth_type == ETH_P_8021Q
    assert Match(ETH_P_8021Q, (inner,)).eth_type == ETH_P_8021Q
    assert Match(ETH_P_8021Q, (inner, innermost)).eth_type == ETH_P_IPV6
