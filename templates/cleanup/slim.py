"""Remove the parts of shared libraries that nothing loads: debug information, symbol tables, section headers.

A process is loaded by program headers alone (ELF gABI, "Program Loading"), so a file needs no byte outside its segments.
Wheels are often shipped unstripped, and `strip` is neither in the base image nor safe on files that patchelf has
rewritten: it moves contents that the dynamic section points to. Here every segment keeps its address and its contents;
only file offsets change, congruent to the address modulo the alignment, as the loader demands. A file with anything
unexpected in it is left as it is.
"""

from __future__ import annotations

import struct
from pathlib import Path

from removed_files import RemovedFiles

HEADER, LOAD = 64, 1


def slim(data: bytes) -> bytes | None:
    """The same 64-bit little-endian ELF without unloaded bytes; None if that may be unsafe, or saves nothing."""
    if data[:6] != b"\x7fELF\x02\x01":
        return None
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    segments = [list(struct.unpack_from("<IIQQQQQQ", data, table + index * size)) for index in range(count)]
    loads = sorted((segment for segment in segments if segment[0] == LOAD), key=lambda segment: segment[2])
    moves, end = [], 0
    for _, _, offset, address, _, length, _, alignment in loads:
        if moves and offset < moves[-1][0] + moves[-1][2]:
            return None  # overlapping segments
        place = offset if not moves else end + (address - end) % max(alignment, 4096)
        moves.append((offset, place, length))
        end = place + length

    def moved(offset: int, length: int) -> int | None:
        for start, place, extent in moves:
            if start <= offset and offset + length <= start + extent:
                return place + offset - start
        return None

    new_table = moved(table, count * size)
    if not moves or moves[0][0] != 0 or new_table is None or end >= len(data):
        return None
    out = bytearray(end)
    for offset, place, length in moves:
        out[place : place + length] = data[offset : offset + length]
    for index, segment in enumerate(segments):
        offset = moved(segment[2], segment[5])
        if offset is None and segment[5]:
            return None  # a segment outside everything loaded
        segment[2] = offset or 0
        struct.pack_into("<IIQQQQQQ", out, new_table + index * size, *segment)
    struct.pack_into("<QQ", out, 32, new_table, 0)
    struct.pack_into("<HHH", out, 58, 0, 0, 0)
    return bytes(out)


def slim_folder(folder: Path, removed: RemovedFiles) -> None:
    """Slim every shared library of a folder; the originals are kept among the removed files."""
    before = after = 0
    for path in sorted(folder.rglob("*.so*")):
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        slimmer = slim(data)
        before, after = before + len(data), after + len(slimmer or data)
        if slimmer is not None:
            mode = path.stat().st_mode
            removed.remove(path.relative_to(folder).as_posix())
            path.write_bytes(slimmer)
            path.chmod(mode)
    print(f"shared libraries: {before} bytes before, {after} after")
