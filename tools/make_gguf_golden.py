#!/usr/bin/env python3
"""Writes tests/data/gguf/every_type.gguf with the `gguf` package of PyPI: an independent implementation of the format.

src/io/gguf_writer_test.cc builds the same content with our writer and demands the same bytes, and reads it back; so what
we write is what that package reads. Needs: pip install gguf numpy. Deterministic.
"""
import pathlib

import numpy as np
from gguf import GGUFReader, GGUFValueType, GGUFWriter, GGMLQuantizationType

OUT = pathlib.Path(__file__).parent.parent / "tests" / "data" / "gguf" / "every_type.gguf"

SCALARS = [("uint8", 200), ("int8", -100), ("uint16", 60000), ("int16", -30000), ("uint32", 4000000000),
           ("int32", -2000000000), ("uint64", 2**64 - 1), ("int64", -(2**63)), ("float32", 0.15625),
           ("float64", 0.1), ("bool", True), ("string", "größe ✓")]


def main() -> None:
    OUT.parent.mkdir(parents=True, exist_ok=True)
    w = GGUFWriter(str(OUT), "test")
    w.add_custom_alignment(64)
    for name, value in SCALARS:
        w.add_key_value(f"scalar.{name}", value, GGUFValueType[name.upper()])
    for name, value in SCALARS:
        w.add_key_value(f"array.{name}", [value, value, value], GGUFValueType.ARRAY, sub_type=GGUFValueType[name.upper()])
    w.add_tensor("matrix", np.arange(12, dtype=np.float32).reshape(3, 4))
    w.add_tensor("half", np.arange(5, dtype=np.float16))
    w.add_tensor("cube", np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    w.add_tensor("deep", np.arange(16, dtype=np.int8).reshape(2, 2, 2, 2))
    blocks = np.arange(2 * 2 * 34, dtype=np.uint8).reshape(2, 68)  # two rows of two Q8_0 blocks
    w.add_tensor("blocks", blocks, raw_dtype=GGMLQuantizationType.Q8_0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()

    r = GGUFReader(str(OUT))
    assert len(r.tensors) == 5 and r.alignment == 64
    assert [t.data.tobytes() for t in r.tensors][4] == blocks.tobytes()
    print(f"wrote {OUT} ({OUT.stat().st_size} bytes)")


if __name__ == "__main__":
    main()
