"""The demo model in PyTorch: a plain Llama with interleaved RoPE, the layout GGUF's llama architecture stores."""

from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class Shape:
    vocab: int = 4096
    dim: int = 256
    layers: int = 6
    heads: int = 8
    kv_heads: int = 4
    ffn: int = 768
    eps: float = 1e-5
    theta: float = 10000.0

    @property
    def head_dim(self):
        return self.dim // self.heads


def rotation(shape, length, dtype=torch.float32):
    """cos and sin, [length, head_dim / 2]."""
    freq = shape.theta ** (-torch.arange(0, shape.head_dim, 2) / shape.head_dim)
    angle = torch.arange(length)[:, None] * freq
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x, cos, sin):
    """Neighbouring elements form the pairs, so no permutation is needed at export."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Block(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        kv = s.kv_heads * s.head_dim
        self.attn_norm = nn.RMSNorm(s.dim, s.eps)
        self.attn_q = nn.Linear(s.dim, s.dim, bias=False)
        self.attn_k = nn.Linear(s.dim, kv, bias=False)
        self.attn_v = nn.Linear(s.dim, kv, bias=False)
        self.attn_output = nn.Linear(s.dim, s.dim, bias=False)
        self.ffn_norm = nn.RMSNorm(s.dim, s.eps)
        self.ffn_gate = nn.Linear(s.dim, s.ffn, bias=False)
        self.ffn_up = nn.Linear(s.dim, s.ffn, bias=False)
        self.ffn_down = nn.Linear(s.ffn, s.dim, bias=False)

    def forward(self, x, cos, sin, cache=None):
        s, (b, t, _) = self.s, x.shape
        h = self.attn_norm(x)
        q = rotate(self.attn_q(h).view(b, t, s.heads, -1).transpose(1, 2), cos, sin)
        k = rotate(self.attn_k(h).view(b, t, s.kv_heads, -1).transpose(1, 2), cos, sin)
        v = self.attn_v(h).view(b, t, s.kv_heads, -1).transpose(1, 2)
        if cache is not None:
            k, v = cache.extend(self, k, v)
        group = s.heads // s.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=t > 1)
        x = x + self.attn_output(y.transpose(1, 2).reshape(b, t, -1))
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Cache:
    """Keys and values of one sequence: a prompt in one piece, then single tokens."""

    def __init__(self):
        self.length, self.kept = 0, {}

    def extend(self, block, k, v):
        if block in self.kept:
            k, v = (torch.cat((old, new), 2) for old, new in zip(self.kept[block], (k, v)))
        self.kept[block] = (k, v)
        return k, v


class Llama(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.token_embd = nn.Embedding(s.vocab, s.dim)  # also the output matrix
        self.blk = nn.ModuleList(Block(s) for _ in range(s.layers))
        self.output_norm = nn.RMSNorm(s.dim, s.eps)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                scale = 0.02 if "embd" in name else p.shape[1] ** -0.5
                nn.init.normal_(p, std=scale * (0.2 if "output" in name or "down" in name else 1))

    def forward(self, tokens, cos, sin, cache=None):
        x = self.token_embd(tokens)
        for block in self.blk:
            x = block(x, cos, sin, cache)
        if cache is not None:
            cache.length += tokens.shape[1]
        return self.output_norm(x) @ self.token_embd.weight.t()


def weighted_loss(logits, targets, weights):
    loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none")
    weights = weights.flatten()
    return (loss * weights).sum() / weights.sum()
