"""The real kernel as oracle: Debian's Linux in a virtual machine that carries out cases.

    build.py ---> packages.py   the kernel and busybox, out of Debian's packages
        |-------> vmlinux.py    the kernel, uncompressed, so that QEMU starts it directly
        |-------> modules.py    which modules, in the order in which they load
        `-------> initramfs.py  those, the guest's half, and the programs it runs
                      |
    session.py ---> machine.py ===[QEMU]===> tests/kernel/guest
     (Oracle)         |   `-- qmp.py     JSON lines over virtio-serial
                      `-- channel.py

    with Oracle() as oracle:
        outcome = oracle.run(case)

Nothing is installed on the host, and nothing of it but its programs is in the guest.
"""
