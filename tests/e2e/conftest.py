"""Networks for the tests: one a module, put back before each test, and fresh ones with options.

    net         the module's own; no typed filter and no connection in it when a test starts
                (where the processor is emulated, one for all modules: it takes a minute to start)
    ports       the interfaces of its virtual machines, to send and take frames
    fresh_net   fresh_net(udp_timeout_s=2): a network of the test's own, with topologies' options

Starting one takes more than a second, putting one back a tenth of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Literal

import pytest

import topologies
from tests.e2e.one_by_one import OneByOne, one_by_one
from tests.e2e.state import put_back
from tests.e2e.wire import Port, all_ports
from topologies.testbed import Testbed
from topologies.two_hypervisors import TwoHypervisors
from topologies.waiting import PATIENCE


def how_long(fixture_name: str, config: pytest.Config) -> Literal["module", "session"]:
    """How long a shared network lives."""
    return "module" if PATIENCE == 1 else "session"


@pytest.fixture(scope=how_long)
def module_net() -> Iterator[Testbed]:
    """The network that a module's tests share."""
    with topologies.running(TwoHypervisors()) as net:
        yield net


@pytest.fixture
def net(module_net: Testbed) -> Testbed:
    """Two hypervisors with their filters, as if just started but for the counters."""
    put_back(module_net)
    return module_net


@pytest.fixture
def fresh_net() -> Iterator[Callable[..., Testbed]]:
    """Start networks with options of ``topologies.running``; they end with the test."""
    with ExitStack() as stack:

        def start(**options: Any) -> Testbed:
            return stack.enter_context(topologies.running(TwoHypervisors(), **options))

        yield start


@pytest.fixture
def ports(net: Testbed) -> Iterator[dict[str, Port]]:
    """The interfaces of the module's virtual machines, by the machine's name."""
    with all_ports(net) as opened:
        yield opened


@pytest.fixture(scope="module")
def _bare() -> Iterator[OneByOne]:
    with topologies.running(TwoHypervisors(), filters=False) as net:
        with one_by_one(net) as opened:
            yield opened


@pytest.fixture(params=[True, False], ids=["hardware on", "hardware off"])
def hv1(_bare: OneByOne, request: pytest.FixtureRequest) -> OneByOne:
    """A hypervisor with no filters, which sends packets through one by one."""
    _bare.clear(request.param)
    return _bare
