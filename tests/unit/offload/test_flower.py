"""Keys and matches."""

from offload.flower import ETH_P_IP, Key, KeyMatch, Match


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
    assert one.mask == two.mask == ((Key.CT_MARK, 3),)
