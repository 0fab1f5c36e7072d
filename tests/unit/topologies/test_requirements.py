"""Which datapath "auto" and none are."""

from __future__ import annotations

import pytest

from topologies import requirements
from topologies.errors import BadOption
from topologies.options import DATAPATH_VARIABLE, Datapath


@pytest.fixture(params=[[], ["this kernel has no openvswitch module"]])
def missing(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """What the kernel datapath needs and this machine does not have."""
    lacks: list[str] = request.param
    monkeypatch.delenv(DATAPATH_VARIABLE, raising=False)
    monkeypatch.setattr(requirements, "_missing_for_kernel", lambda: iter(lacks))
    return lacks


def test_auto_is_the_kernels_where_it_is(missing: list[str]) -> None:
    expected = Datapath.USER if missing else Datapath.KERNEL
    assert requirements.decided(Datapath.AUTO) is expected


@pytest.mark.parametrize("kind", [Datapath.USER, Datapath.KERNEL])
def test_the_environments_word_is_for_those_that_say_none(
    missing: list[str], monkeypatch: pytest.MonkeyPatch, kind: Datapath
) -> None:
    monkeypatch.setenv(DATAPATH_VARIABLE, kind.value)
    assert requirements.decided(Datapath.DEFAULT) is kind
    for chosen in (Datapath.USER, Datapath.KERNEL):
        assert requirements.decided(chosen) is chosen


def test_an_empty_word_is_none(
    missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert requirements.decided(Datapath.DEFAULT) is Datapath.USER
    for word in ("", "default"):
        monkeypatch.setenv(DATAPATH_VARIABLE, word)
        assert requirements.decided(Datapath.DEFAULT) is Datapath.USER
    monkeypatch.setenv(DATAPATH_VARIABLE, "auto")
    auto = requirements.decided(Datapath.AUTO)
    assert requirements.decided(Datapath.DEFAULT) is auto


def test_a_word_that_is_none(
    missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATAPATH_VARIABLE, "dpdk")
    with pytest.raises(BadOption, match="dpdk.*auto, user, kernel"):
        requirements.decided(Datapath.DEFAULT)
