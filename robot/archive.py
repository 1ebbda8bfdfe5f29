"""A strict archive: a ustar file (``tar -xf`` opens it) in which nothing is left to choose.

Which members there are, in which order and with which headers, is known beforehand; all that a file may say
is how large each is. So the same content is always the same bytes, and any other byte is an error. Nothing is
compressed and no name is taken from the file: there are no bombs, no paths to walk and no second member of
the same name.
"""

from __future__ import annotations

import tarfile
from collections.abc import Collection, Mapping

from robot.errors import BundleError

BLOCK = tarfile.BLOCKSIZE
_SIZE = slice(124, 135)
"""Where a header has its member's size, in octal digits (POSIX ustar)."""
_NAME = slice(0, 100)
_END = bytes(2 * BLOCK)


class ArchiveError(BundleError):
    """Bytes are not an archive of these members."""


def largest(limits: Mapping[str, int]) -> int:
    """Size of the largest archive of these members [bytes]."""
    return sum(BLOCK + _padded(limit) for limit in limits.values()) + len(_END)


def write_archive(files: Mapping[str, bytes], limits: Mapping[str, int]) -> bytes:
    """The archive of ``files``, in the order of ``limits``, each member's largest size [bytes]. Raises
    ArchiveError if one is larger."""
    parts = []
    for name, limit in limits.items():
        if name in files:
            content = files[name]
            if len(content) > limit:
                raise ArchiveError(f"{name} has {len(content)} bytes; at most {limit} were expected")
            parts += [_header(name, len(content)), content, bytes(_padded(len(content)) - len(content))]
    return b"".join((*parts, _END))


def read_archive(data: bytes, limits: Mapping[str, int], optional: Collection[str] = ()) -> dict[str, bytes]:
    """The members by name. Raises ArchiveError unless ``data`` is exactly what ``write_archive`` makes of
    them."""
    if len(data) > largest(limits):
        raise ArchiveError(f"{len(data)} bytes or more; at most {largest(limits)} were expected")
    files, at = dict[str, bytes](), 0
    for name, limit in limits.items():
        header = data[at : at + BLOCK]
        if name in optional and header[_NAME].rstrip(b"\0") != name.encode():
            continue
        at += BLOCK
        size = _size(name, header, at)
        if size > limit:
            raise ArchiveError(f"{name} has {size} bytes; at most {limit} were expected")
        files[name], padding = data[at : at + size], data[at + size : at + _padded(size)]
        at += _padded(size)
        if at > len(data):
            raise ArchiveError(f"cut off within {name}, after {len(data)} bytes; fetch it anew")
        if any(padding):
            raise ArchiveError(f"there is something behind {name} that does not belong there")
    end = data[at:]
    if len(end) < len(_END) and not any(end):
        raise ArchiveError(f"cut off before its end, after {len(data)} bytes; fetch it anew")
    if end != _END:
        raise ArchiveError(f"there is something behind its last member, from byte {at} on")
    return files


def _size(name: str, header: bytes, at: int) -> int:
    """The size that a member's header tells [bytes]."""
    if len(header) < BLOCK:
        raise ArchiveError(f"cut off before {name}, after {at - BLOCK + len(header)} bytes; fetch it anew")
    digits = header[_SIZE]
    size = int(digits, 8) if digits.isdigit() and not set(digits) & set(b"89") else -1
    if size < 0 or header != _header(name, size):
        raise ArchiveError(f"not a bundle, or altered: at byte {at - BLOCK} {name} was expected")
    return size


def _header(name: str, size: int) -> bytes:
    """No owner, no time, one mode: nothing but the name and the size."""
    about = tarfile.TarInfo(name)
    about.size = size
    return about.tobuf(tarfile.USTAR_FORMAT)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
