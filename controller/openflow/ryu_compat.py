"""Ryu 4.34 on today's eventlet, with what OVS has and Ryu does not know.

Import this before anything of Ryu.
"""

from __future__ import annotations

import os
import signal
import warnings
from typing import Any

warnings.filterwarnings("ignore", category=DeprecationWarning)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import eventlet
    import eventlet.wsgi
    from eventlet.green import os as green_os

_POLL_S = 0.005

# Ryu's wsgi imports a name that eventlet dropped in 0.30.3 (now a class attribute).
if not hasattr(eventlet.wsgi, "ALREADY_HANDLED"):
    eventlet.wsgi.ALREADY_HANDLED = object()

from ryu.lib import type_desc  # noqa: E402
from ryu.ofproto import nicira_ext, ofproto_v1_3, oxm_fields  # noqa: E402

# pylint: disable=wrong-import-position
from controller.openflow.channel import Channel  # noqa: E402

# The original tuple of a tracked packet.  Source: OVS meta-flow.h (NXM_NX 119-125)
_CT_TUPLE_FIELDS = [
    oxm_fields.NiciraExtended1("ct_nw_proto", 119, type_desc.Int1),
    oxm_fields.NiciraExtended1("ct_nw_src", 120, type_desc.IPv4Addr),
    oxm_fields.NiciraExtended1("ct_nw_dst", 121, type_desc.IPv4Addr),
    oxm_fields.NiciraExtended1("ct_ipv6_src", 122, type_desc.IPv6Addr),
    oxm_fields.NiciraExtended1("ct_ipv6_dst", 123, type_desc.IPv6Addr),
    oxm_fields.NiciraExtended1("ct_tp_src", 124, type_desc.Int2),
    oxm_fields.NiciraExtended1("ct_tp_dst", 125, type_desc.Int2),
]


def _teach_fields() -> None:
    """Add the fields to OpenFlow 1.3's and make its look-up functions anew."""
    known = {field.name for field in nicira_ext.oxm_types}
    new = [field for field in _CT_TUPLE_FIELDS if field.name not in known]
    nicira_ext.oxm_types.extend(new)
    ofproto_v1_3.oxm_types.extend(new)
    oxm_fields.generate(ofproto_v1_3.__name__)


_teach_fields()


def end_on_signals(*signals: int) -> None:
    """End this thread, and with it the process, on these signals.

    Ryu's own threads swallow every exception, so it must not be raised there.
    """
    thread = eventlet.getcurrent()
    reader, writer = os.pipe()  # wakes the loop, which a handler alone does not

    def wait() -> None:
        signum = green_os.read(reader, 1)[0]
        code = 0 if signum == signal.SIGTERM else 128 + signum
        thread.throw(SystemExit(code))

    for each in signals:
        signal.signal(each, lambda signum, frame: os.write(writer, bytes((signum,))))
    eventlet.spawn_n(wait)


def start_app(app_name: str, openflow_path: str) -> dict[str, Any]:
    """Start a Ryu app whose switches connect to a Unix socket; the apps by name.

    Returns when the socket is there: a switch that finds none waits a second.
    """
    from ryu import cfg
    from ryu.base.app_manager import AppManager
    from ryu.controller import controller

    cfg.CONF(args=[], project="ryu")
    cfg.CONF.set_override("ofp_listen_host", openflow_path)
    # Any port: with none, Ryu listens twice.
    cfg.CONF.set_override("ofp_tcp_listen_port", 1)
    serve = controller.datapath_connection_factory
    controller.datapath_connection_factory = lambda channel, address: serve(
        Channel(channel), address
    )
    manager = AppManager.get_instance()
    manager.load_apps([app_name])
    manager.instantiate_apps(**manager.create_contexts())
    while not os.path.exists(openflow_path):
        eventlet.sleep(_POLL_S)
    return dict(manager.applications)
