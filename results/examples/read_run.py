#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Read a run with any msgpack library: exits of each cell by level and reason (see ../FORMAT.md). Usage: read_run.py RUN.TDO
import collections, struct, sys, zlib
import msgpack

data = open(sys.argv[1], "rb").read()
assert data[:8] == b"TESTUDO\n" and struct.unpack_from("<I", data, 8)[0] == 1
settings, exits, at = {}, collections.defaultdict(collections.Counter), 16
while at + 16 <= len(data):
    magic, length, kind, crc = struct.unpack_from("<4sIII", data, at)
    payload = data[at + 16:at + 16 + length]
    if magic != b"TDOF" or zlib.crc32(payload, zlib.crc32(data[at + 4:at + 12])) != crc:
        break  # a torn tail; behind damage, search for the next "TDOF"
    frame = msgpack.unpackb(payload)
    if kind == 2:  # CELL
        settings[frame["cell"]] = frame["settings"]
    elif kind == 3:  # RECORDS
        for index in frame["kind"] if frame["cell"] is not None else []:  # nil: outside any cell
            reason, level, handler, phase, flags, detail = frame["kinds"][index]
            if phase == 2 and not flags & 2:  # measured, not the workload's own mark
                exits[frame["cell"]][level, reason] += 1
    at += 16 + length
for cell, counts in sorted(exits.items()):
    print(cell, settings[cell]["workload"], *(f"L{level}:{reason}={n}" for (level, reason), n in sorted(counts.items())))
