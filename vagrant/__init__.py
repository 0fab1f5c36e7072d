"""The testbed in a virtual machine: its box, and an unattended run in it.

    Vagrantfile, two/Vagrantfile    what a user brings up; machine.rb is what both share
    box/build                       a box from Debian packages (``make vagrant-box``)
    install.sh                      what a host needs for all this

    __main__    python3 -m vagrant: test (``make vagrant-test``), run, the exit code
       |
    trial       the steps of an unattended run, and what came of each
       |   \\
       |    guest      commands in the VM over SSH, results brought back
       |      |
    room           libvirt's daemons in namespaces of their own
       |
    steps, host    progress and deadlines; what the machine has, before and after

The room is why nothing is left behind. Daemons, bridges, packet filters and VMs are in a
PID, a network and a mount namespace, whose first process dies with the program that made
them, however that ends. What is left is a directory, and the next run removes that.

    +-- the machine ---------------------------------------------------+
    |  python3 -m vagrant test                                         |
    |   +-- room: libvirtd, virtlogd, dbus, dnsmasq, virbr*, iptables -+
    |   |     vagrant ... ssh ...   --->  VM (QEMU)  /testbed          |
    +---+--------------------------------------------------------------+

It runs on the system's Python with nothing installed: standard library only.
"""
