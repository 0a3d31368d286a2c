#!/usr/bin/env python3
"""A draft model for measurements: the first layers of a GGUF model, and, with --silence, the model with the others mute.

    first_layers.py MODEL.gguf LAYERS DRAFT.gguf [--silence TARGET.gguf]

DRAFT has the first LAYERS layers of MODEL and everything around them. TARGET is MODEL with the output matrices of all
later layers zero: it computes as much as MODEL and says exactly what DRAFT says, so that every guess is right. With random
weights nothing else can have right guesses, and the least time that speculation can take is what it shows.
"""
import argparse
import struct
import sys

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of metadata types
STRING, ARRAY = 8, 9


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, code):
        return struct.unpack("<" + code, self.take(struct.calcsize(code)))[0]

    def string(self):
        return bytes(self.take(self.number("Q")))

    def skip_value(self, kind):
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            element, count = self.number("I"), self.number("Q")
            for _ in range(count):
                self.skip_value(element)
        else:
            self.take(SIZES[kind])


def read(path):
    """Metadata as [key, type and value bytes], tensors as [name, header bytes behind the name, data]."""
    data = memoryview(open(path, "rb").read())
    r = Reader(data)
    assert bytes(r.take(4)) == b"GGUF" and r.number("I") == 3, "a GGUF file of version 3 is needed"
    tensors, keys = r.number("Q"), r.number("Q")
    metadata, infos, alignment = [], [], 32
    for _ in range(keys):
        key, begin = r.string(), r.at
        r.skip_value(r.number("I"))
        metadata.append([key, bytes(data[begin:r.at])])
        if key == b"general.alignment":
            alignment = struct.unpack("<I", data[begin + 4:r.at])[0]
    for _ in range(tensors):
        name, begin = r.string(), r.at
        r.take(8 * r.number("I") + 4)
        infos.append([name, bytes(data[begin:r.at]), r.number("Q")])
    base = (r.at + alignment - 1) // alignment * alignment
    ends = sorted([offset for _, _, offset in infos] + [len(data) - base])
    for info in infos:
        end = ends[ends.index(info[2]) + 1]
        info[2] = data[base + info[2]:base + end]
    return metadata, infos, alignment


def write(path, metadata, tensors, alignment):
    def string(text):
        return struct.pack("<Q", len(text)) + text

    def padded(size):
        return (size + alignment - 1) // alignment * alignment

    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(string(key) + value for key, value in metadata)
    offset = 0
    for name, info, data in tensors:
        head += string(name) + info + struct.pack("<Q", offset)
        offset += padded(len(data))
    with open(path, "wb") as out:
        out.write(head + bytes(padded(len(head)) - len(head)))
        for _, _, data in tensors:
            out.write(data)
            out.write(bytes(padded(len(data)) - len(data)))


def layer_of(name):
    parts = name.split(b".")
    return int(parts[1]) if parts[0] == b"blk" else -1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("layers", type=int)
    parser.add_argument("draft")
    parser.add_argument("--silence", metavar="TARGET")
    a = parser.parse_args()
    metadata, tensors, alignment = read(a.model)
    if not 1 <= a.layers <= max(layer_of(name) for name, _, _ in tensors):
        sys.exit("LAYERS must leave the model at least one layer more")

    draft = [[k, struct.pack("<II", 4, a.layers) if k.endswith(b".block_count") else v] for k, v in metadata]
    write(a.draft, draft, [t for t in tensors if layer_of(t[0]) < a.layers], alignment)
    if not a.silence:
        return
    mute = (b".attn_output.weight", b".ffn_down.weight")
    write(a.silence, metadata, [[name, info, bytes(len(data)) if layer_of(name) >= a.layers and name.endswith(mute)
                                 else data] for name, info, data in tensors], alignment)


if __name__ == "__main__":
    main()
