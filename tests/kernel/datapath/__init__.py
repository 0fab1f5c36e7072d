"""The testbed itself inside the real kernel, for Open vSwitch's kernel datapath.

    host                                    guest (QEMU)
    /          --- 9p, read-only -------->  / , under a layer in memory
    .cache/oracle's kernel, modules ----->  openvswitch, vxlan, conntrack, act_ct, ...
    a folder   --- 9p -------------------   /run/exchange: the command in, its exit code
                                            and JUnit report out
    our output <-- console --------------   what the command prints

Nothing is installed anywhere: the guest has the host's programs, this checkout and its .venv.
What it writes is gone with it. ``image`` makes what it boots, ``machine`` runs it.

    make kernel-datapath                                 the end-to-end tests' core
    make kernel-datapath ARGS='tests/e2e/test_nat.py'    any of pytest's arguments
    python -m tests.kernel.datapath run bash             any command; a terminal is passed on
"""
