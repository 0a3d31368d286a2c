#!/usr/bin/env python3
"""Writes tests/data/backend: what the ops and the quantised matrix products must give, computed here in float64.

Unpacking of the quantised blocks is that of the `gguf` package, so that the products check an independent reading of
the formats. Needs numpy and gguf:  python tools/make_backend_goldens.py
"""
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "backend"
RNG = np.random.default_rng(20)
TYPES = [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K,
         Type.IQ4_NL, Type.IQ4_XS, Type.MXFP4]
# Byte offsets of the f16 scales inside a block.
SCALES = {Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0], Type.Q2_K: [80, 82],
          Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208], Type.IQ4_NL: [0], Type.IQ4_XS: [0],
          Type.MXFP4: []}


def save(name, array):
    np.save(OUT / f"{name}.npy", array)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def linear(kind):
    """Three rows of random bytes with moderate scales, times two tokens."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    columns = 512 if elements == 256 else 288
    blocks = RNG.integers(0, 256, (3, columns // elements, size), dtype=np.uint8)
    for at in SCALES[kind]:
        scale = RNG.uniform(-1, 1, blocks.shape[:2]).astype(np.float16)
        blocks[..., at:at + 2] = scale[..., None].view(np.uint8)
    if kind == Type.MXFP4:
        blocks[..., 0] = RNG.integers(110, 130, blocks.shape[:2])
    rows = blocks.reshape(3, -1)
    x = normal(2, columns)
    y = x.astype(np.float64) @ gguf.quants.dequantize(rows, kind).astype(np.float64).T
    save(f"linear_{kind.name}_w", rows)
    save(f"linear_{kind.name}_x", x)
    save(f"linear_{kind.name}_y", y.astype(np.float32))


def attention(window):
    """37 tokens, 6 heads that share 2 KV heads of 16."""
    q, k, v = normal(37, 6, 16), normal(37, 2, 16), normal(37, 2, 16)
    scores = np.einsum("qhd,khd->hqk", q.astype(np.float64), k.astype(np.float64).repeat(3, 1)) * 0.25
    query, key = np.arange(37)[:, None], np.arange(37)[None, :]
    visible = (key <= query) & ((key > query - window) | (window == 0))
    scores = np.where(visible, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    out = np.einsum("hqk,khd->qhd", weights, v.astype(np.float64).repeat(3, 1))
    for name, array in (("q", q), ("k", k), ("v", v), ("out", out)):
        save(f"attention_w{window}_{name}", array.reshape(37, -1).astype(np.float32))


def rope():
    """Five positions, 2 heads of 12 of which 8 elements turn, in both layouts."""
    positions = np.array([0, 1, 5, 100, 2047], dtype=np.int64)
    inv_freq = (10000.0 ** (-np.arange(4) / 4)).astype(np.float32)
    x = normal(5, 2, 12)
    angle = (positions[:, None].astype(np.float32) * inv_freq).astype(np.float64)
    turn = np.exp(1j * angle)[:, None, :]
    x64 = x.astype(np.float64)
    split, inter = x64.copy(), x64.copy()
    z = (x64[..., 0:4] + 1j * x64[..., 4:8]) * turn
    split[..., 0:4], split[..., 4:8] = z.real, z.imag
    z = (x64[..., 0:8:2] + 1j * x64[..., 1:8:2]) * turn
    inter[..., 0:8:2], inter[..., 1:8:2] = z.real, z.imag
    save("rope_positions", positions)
    save("rope_inv_freq", inv_freq)
    for name, array in (("x", x), ("half_split", split), ("interleaved", inter)):
        save(f"rope_{name}", array.reshape(5, -1).astype(np.float32))


def elementwise():
    x, weight = normal(4, 40) * 3, normal(40)
    x64 = x.astype(np.float64)
    save("rms_norm_x", x)
    save("rms_norm_weight", weight)
    save("rms_norm_out", (x64 / np.sqrt((x64 ** 2).mean(-1, keepdims=True) + 1e-5) * weight).astype(np.float32))
    gate_up = normal(4, 80) * 5
    gate, up = gate_up[:, :40].astype(np.float64), gate_up[:, 40:].astype(np.float64)
    save("silu_mul_in", gate_up)
    save("silu_mul_out", (gate / (1 + np.exp(-gate)) * up).astype(np.float32))


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    for kind in TYPES:
        linear(kind)
    attention(0)
    attention(7)
    rope()
    elementwise()
