#!/usr/bin/env python3
"""Writes tests/data/quant/vectors.gguf: blocks of every quantised type with the floats they stand for, and rows with the
blocks they round to, computed by the `gguf` package of PyPI (gguf.quants), an implementation independent of ours.

src/quant/quantize_test.cc demands equality bit for bit. Needs: pip install gguf numpy. Deterministic.

Tensors of the file, for each type T:
  T.blocks (I8)   random blocks whose scales include zero, negative, subnormal and the largest values
  T.floats (F32)  what they decode to
and, for the types that the package can quantise:
  rows (F32)      zeros, single spikes, exact ties, tiny and large values; the same for all types
  T.coded (I8)    the blocks of `rows`

Scales that are NaN or infinite are left out: NaN payloads are not part of the formats.
"""
import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGUFReader, GGUFWriter
from gguf import GGMLQuantizationType as T
from gguf import quants

OUT = pathlib.Path(__file__).parent.parent / "tests" / "data" / "quant" / "vectors.gguf"

# Where the half-precision scales lie in a block: byte offsets. The rest of a block may be any bytes.
HALVES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
    T.IQ4_NL: [0], T.IQ4_XS: [0],
}
SPECIAL_HALVES = np.array([0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x3C00, 0xBC00, 0x7BFF, 0xFBFF], np.uint16)
SPECIAL_FLOATS = np.array([0.0, -0.0, 1e-45, -1e-40, 1.1754944e-38, 1.0, -3.0e36, 1e38, 0.1], np.float32)
SPECIAL_EXPONENTS = [0, 1, 2, 3, 126, 127, 128, 253, 254, 255]


def random_blocks(rng: np.random.Generator, qtype: T) -> np.ndarray:
    elements, size = GGML_QUANT_SIZES[qtype]
    count = 48 if elements == 32 else 12
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for offset in HALVES.get(qtype, []):
        halves = rng.normal(0, 0.1, count).astype(np.float16).view(np.uint16)
        special = rng.permutation(SPECIAL_HALVES)
        halves[: len(special)] = special
        blocks[:, offset : offset + 2] = halves.view(np.uint8).reshape(count, 2)
    if qtype == T.MXFP4:
        blocks[: len(SPECIAL_EXPONENTS), 0] = SPECIAL_EXPONENTS
    if qtype == T.Q8_K:
        d = rng.normal(0, 0.1, count).astype(np.float32)
        d[: len(SPECIAL_FLOATS)] = SPECIAL_FLOATS
        blocks[:, :4] = d.view(np.uint8).reshape(count, 4)
    return blocks


def decode(blocks: np.ndarray, qtype: T) -> np.ndarray:
    if qtype == T.Q8_K:  # not in the package; the format is d * q
        with np.errstate(over="ignore"):
            return (blocks[:, :4].copy().view(np.float32) * blocks[:, 4:260].copy().view(np.int8)).astype(np.float32)
    return quants.dequantize(blocks, qtype)


def rows_to_quantise(rng: np.random.Generator) -> np.ndarray:
    rows = [rng.normal(0, 0.05, (8, 32)), rng.uniform(-1, 1, (8, 32)), rng.uniform(0, 1, (4, 32)),
            rng.uniform(-3, -1, (2, 32)), rng.normal(0, 1e-5, (4, 32)), rng.normal(0, 5000, (4, 32)),
            rng.standard_cauchy((4, 32)), np.zeros((1, 32)), np.full((1, 32), 0.75), np.full((1, 32), -0.75),
            np.arange(32)[None] / 2.0 - 8, np.arange(32)[None] / 4.0, -np.arange(32)[None] * 127.0 / 31]
    spike = np.zeros((2, 32))
    spike[0, 17], spike[1, 0] = 3.0, -1e-3
    ties = np.tile([127.0, -127.0, 0.5, -0.5, 1.5, -1.5, 2.5, 63.5], 4)[None]
    return np.concatenate(rows + [spike, ties]).astype(np.float32)


def main() -> None:
    OUT.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20240)
    w = GGUFWriter(str(OUT), "test-vectors")
    for qtype in [*HALVES, T.MXFP4, T.Q8_K]:
        blocks = random_blocks(rng, qtype)
        floats = np.ascontiguousarray(decode(blocks, qtype), np.float32)
        assert not np.isnan(floats).any(), qtype
        w.add_tensor(f"{qtype.name}.blocks", blocks.view(np.int8).reshape(-1))
        w.add_tensor(f"{qtype.name}.floats", floats.reshape(-1))
    rows = rows_to_quantise(rng)
    w.add_tensor("rows", rows.reshape(-1))
    for qtype in [T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.MXFP4]:
        coded = np.ascontiguousarray(quants.quantize(rows, qtype)).view(np.int8)
        w.add_tensor(f"{qtype.name}.coded", coded.reshape(-1))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    print(f"wrote {OUT}: {len(GGUFReader(str(OUT)).tensors)} tensors, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
