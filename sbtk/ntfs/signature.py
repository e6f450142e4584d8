"""Names what a disk or file holds, from its first bytes: for the messages that refuse it."""

from __future__ import annotations

HEAD_BYTES = 70_000
"""How much of the start ``identify`` wants: the btrfs superblock lies at 64 KiB."""

_BOOT_OEM = {
    b"NTFS    ": "an NTFS volume",
    b"-FVE-FS-": "a BitLocker-encrypted volume",
    b"MSWIN4.1": "a FAT volume",
    b"EXFAT   ": "an exFAT volume",
    b"ReFS\0\0\0\0": "a ReFS volume",
}
# (offset, bytes, what it is), in the order in which they are tried
_MAGIC = (
    (0, b"LUKS\xba\xbe", "a LUKS-encrypted volume"),
    (0, b"XFSB", "an XFS volume"),
    (0, b"hsqs", "a squashfs image"),
    (0, b"QFI\xfb", "a qcow2 disk image (convert it to raw first)"),
    (0, b"KDMV", "a VMDK disk image (convert it to raw first)"),
    (0, b"conectix", "a VHD disk image (convert it to raw first)"),
    (0, b"vhdxfile", "a VHDX disk image (convert it to raw first)"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file"),
    (0, b"\xfd7zXZ\0", "an xz file"),
    (0, b"PK\x03\x04", "a zip file"),
    (0, b"\x7fELF", "an ELF program"),
    (0, b"FILE", "a bare $MFT"),
    (0, b"BAAD", "a bare $MFT"),
    (0x52, b"FAT32   ", "a FAT32 volume"),
    (0x36, b"FAT16   ", "a FAT16 volume"),
    (0x36, b"FAT12   ", "a FAT12 volume"),
    (257, b"ustar", "a tar archive"),
    (0x218, b"LVM2", "an LVM physical volume"),
    (0x200, b"LABELONE", "an LVM physical volume"),
    (0x200, b"EFI PART", "a disk with a GPT"),
    (0x1000, b"EFI PART", "a disk with a GPT (4096-byte sectors)"),
    (0x8001, b"CD001", "an ISO 9660 image"),
    (0x10040, b"_BHRfS_M", "a btrfs volume"),
    (4086, b"SWAPSPACE2", "swap space"),
)
_EXT_MAGIC_OFFSET = 0x438
_EXT_INCOMPAT_OFFSET = 0x460
_EXT_COMPAT_OFFSET = 0x45C
_EXT_HAS_JOURNAL = 0x4
_EXT_INCOMPAT_EXTENTS = 0x40


def identify(head: bytes) -> str:
    """What these bytes are, as a noun phrase: ``"an ext4 volume"``, ``"a text file"``.

    Args:
        head: the first bytes of the device, up to ``HEAD_BYTES``; fewer are fine.
    """
    if not head:
        return "empty (0 bytes)"
    known = _BOOT_OEM.get(head[3:11]) or _find_magic(head)
    if known:
        return known
    if not any(head):
        return "blank (all zero bytes)"
    if _is_text(head):
        return "a text file"
    boots = head[510:512] == b"\x55\xaa"
    return "a disk or boot sector without NTFS" if boots else "nothing that sbtk knows"


def _find_magic(head: bytes) -> str:
    for offset_bytes, magic, what in _MAGIC:
        if head[offset_bytes : offset_bytes + len(magic)] == magic:
            return what
    if head[_EXT_MAGIC_OFFSET : _EXT_MAGIC_OFFSET + 2] == b"\x53\xef":
        return _name_ext(head)
    return ""


def _name_ext(head: bytes) -> str:
    incompat = int.from_bytes(head[_EXT_INCOMPAT_OFFSET : _EXT_INCOMPAT_OFFSET + 4], "little")
    compat = int.from_bytes(head[_EXT_COMPAT_OFFSET : _EXT_COMPAT_OFFSET + 4], "little")
    if incompat & _EXT_INCOMPAT_EXTENTS:
        return "an ext4 volume"
    return "an ext3 volume" if compat & _EXT_HAS_JOURNAL else "an ext2 volume"


def _is_text(head: bytes) -> bool:
    sample = head[:4096]
    if any(byte < 9 or 13 < byte < 27 for byte in sample):
        return False
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start > len(sample) - 4  # a character cut at the sample's end
    return True
