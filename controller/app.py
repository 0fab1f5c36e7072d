"""The Ryu app: switches, the control socket and the clock, and nothing else.

Each handler decodes, calls one method and has what it left in the outbox sent.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import eventlet
from ryu.base.app_manager import RyuApp
from ryu.controller import ofp_event
from ryu.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.ofproto import ofproto_v1_3

from controller.hypervisor import Config, Hypervisor
from controller.lost import LostConnections
from controller.openflow import entries
from controller.ovs import OvsError
from controller.switch import Switch

LOG = logging.getLogger("ct_offload")
_TICK_S = 1.0


class Driver(RyuApp):
    """The hypervisors that were attached, by name and by datapath id."""

    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        entries.make_templates()
        self.switches: dict[str, Switch] = {}
        self._by_dpid: dict[int, Switch] = {}
        self.lost: dict[Switch, LostConnections] = {}
        self._looking: set[Switch] = set()

    def start(self) -> Any:
        """Start the event loop, and the clock beside it."""
        eventlet.spawn_n(self._clock)
        return super().start()

    def attach(self, config: Config) -> Switch:
        """Know a hypervisor, whose switch may connect from now on."""
        switch = Switch(Hypervisor(config))
        self.switches[config.name] = switch
        self._by_dpid[config.dpid] = switch
        return switch

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def _state_changed(self, event: Any) -> None:
        switch = self._by_dpid.get(event.datapath.id)
        if switch is None:
            return
        if event.state == MAIN_DISPATCHER:
            LOG.info("%s: connected", switch.hypervisor.config.name)
            switch.connected(event.datapath)
        elif switch.datapath is event.datapath:
            LOG.warning("%s: disconnected", switch.hypervisor.config.name)
            switch.disconnected()

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def _port_status(self, event: Any) -> None:
        switch = self._switch(event)
        if switch is not None and event.msg.reason != ofproto_v1_3.OFPPR_DELETE:
            port = event.msg.desc
            switch.hypervisor.port_appeared(port.name.decode(), port.port_no)
            switch.flush_soon()
            switch.ports_changed()

    def _switch(self, event: Any) -> Switch | None:
        """The switch an event came from, while that connection is the current one."""
        switch = self._by_dpid.get(event.msg.datapath.id)
        if switch is None or switch.datapath is not event.msg.datapath:
            return None
        return switch

    def _clock(self) -> None:
        """Once a second: timeouts, and what the switch told nobody."""
        while True:
            eventlet.sleep(_TICK_S)
            for switch in list(self.switches.values()):
                if switch.installed:
                    switch.hypervisor.tick(time.monotonic())
                    switch.flush_soon()
                    if switch not in self._looking:
                        eventlet.spawn_n(self._look, switch)

    def _look(self, switch: Switch) -> None:
        self._looking.add(switch)
        try:
            self.lost.setdefault(switch, LostConnections()).look(switch)
        except OvsError as error:
            LOG.debug("%s", error)
        finally:
            self._looking.discard(switch)
        switch.flush_soon()
