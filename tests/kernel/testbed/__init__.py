"""The testbed as a case's second executor: the same ports, commands and frames, on Open vSwitch.

        namespace "farN"                 namespace "hvN"
        [ens1f0_0] ======veth====== [ens1f0_0]
frames->[ens1f0_1] ======veth====== [ens1f0_1]   br-int, the pipeline -> stack: br-int's own port
left  <-[ens1f0_2] ======veth====== [ens1f0_2]
        [ens1f0  ] ======veth====== [ens1f0  ]   br-ens1f0, 7.7.7.7; vxlan0

network.py   three such hypervisors in one run, one for each mode of the card
far.py       where frames are put on a wire and come off, and the certainty that all have
nic.py       one hypervisor: a case's commands and steps, and the way back to an empty one
listing.py   what `conntrack -L` prints, read

with Testbed() as testbed:
    outcomes = testbed.run(case)      {Mode.ON: Outcome, Mode.OFF: ..., Mode.REFUSING: ...}
"""
