"""The kernel's ELF image out of a bzImage, for QEMU's direct boot (PVH).

A bzImage unpacks itself first, which takes an emulated processor longer than all the rest.

Source: Documentation/arch/x86/boot.rst (setup_sects, payload_offset, payload_length)
"""

from __future__ import annotations

import gzip
import lzma
import struct
import subprocess

from tests.kernel.oracle.errors import Unavailable

SETUP_SECTS, HEADER_MAGIC, PAYLOAD_OFFSET = 0x1F1, 0x202, 0x248
SECTOR = 512


def extract(image: bytes) -> bytes:
    """Return the ELF image that a bzImage holds."""
    if image[HEADER_MAGIC : HEADER_MAGIC + 4] != b"HdrS":
        raise Unavailable("the kernel is not a bzImage")
    offset, length = struct.unpack_from("<II", image, PAYLOAD_OFFSET)
    start = (image[SETUP_SECTS] or 4) * SECTOR + SECTOR + offset
    elf = _decompress(image[start : start + length])
    if not elf.startswith(b"\x7fELF"):
        raise Unavailable("the kernel's payload is not ELF")
    return elf


def _decompress(payload: bytes) -> bytes:
    """Undo Debian's compression (xz), or what other kernels have."""
    if payload.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(b"\x1f\x8b"):
        return gzip.decompress(payload)
    if payload.startswith(b"\x28\xb5\x2f\xfd"):
        # The last four bytes are the length, which zstd takes for garbage.
        done = subprocess.run(
            ["zstd", "-dcq"], input=payload[:-4], capture_output=True, timeout=120
        )
        return done.stdout
    raise Unavailable(f"kernel compression not known: {payload[:6].hex()}")
