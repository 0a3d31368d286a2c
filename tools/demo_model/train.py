"""Trains the demo model on the rows that prepare.py wrote. Kill it and start it again: it goes on from its last checkpoint.

The last steps use the long rows (see schedule). Matrices are trained with Muon
(an orthogonalised momentum step), which needs about half as many tokens as AdamW here; everything else with AdamW.
"""

import argparse
import csv
import pathlib
import time

import numpy as np
import torch

from model import Llama, Shape, rotation, weighted_loss


def orthogonal(g, steps=5):
    """Newton-Schulz iteration towards the nearest (semi-)orthogonal matrix, on a stack [n, rows, cols]."""
    tall = g.shape[1] > g.shape[2]
    x = (g.transpose(1, 2) if tall else g).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        # Coefficients of the quintic that pushes all singular values towards one quickly, if not exactly.
        square = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.transpose(1, 2) if tall else x).float()


class Muon:
    def __init__(self, params, momentum=0.95):
        groups = {}
        for p in params:
            groups.setdefault(tuple(p.shape), []).append(p)
        self.groups = list(groups.values())
        self.momentum = momentum
        self.state = [torch.zeros(len(ps), *ps[0].shape) for ps in self.groups]

    @torch.no_grad()
    def step(self, rate, decay=0.02):
        for params, m in zip(self.groups, self.state):
            g = torch.stack([p.grad for p in params])
            m.mul_(self.momentum).add_(g)
            update = orthogonal(g + self.momentum * m)
            scale = max(1, g.shape[1] / g.shape[2]) ** 0.5
            for p, u in zip(params, update):
                p.mul_(1 - rate * decay).add_(u, alpha=-rate * scale)


def schedule(step, short, long, warm=60, decay=0.31, low=0.17, again=0.5):
    """Up, constant, down to a sixth over the short rows; the long rows start again at half, since their positions are new."""
    if step < warm:
        return (step + 1) / warm
    if step < short:
        return min(1.0, 1 - (1 - low) * (step - (1 - decay) * short) / (decay * short))
    return again * (short + long - step) / long


class Threads:
    """A fixed number of threads, or (0) one, and a second one while nothing else wants the second core."""

    def __init__(self, count):
        self.count, self.busy = count, 1.0
        torch.set_num_threads(count or 1)

    def adapt(self):
        if self.count:
            return
        running = int(open("/proc/loadavg").read().split()[3].split("/")[0]) - 1  # less this one
        self.busy = 0.85 * self.busy + 0.15 * min(running, 2)
        want = 2 if self.busy < (0.3 if torch.get_num_threads() == 1 else 0.6) else 1
        if want != torch.get_num_threads():
            torch.set_num_threads(want)


class Rows:
    def __init__(self, path, batch):
        data = np.load(path)
        self.tokens, self.weights, self.batch = data["tokens"], data["weights"], batch

    def __len__(self):
        return len(self.tokens) // self.batch

    def __getitem__(self, i):
        i %= len(self)
        part = slice(i * self.batch, (i + 1) * self.batch)
        t = torch.from_numpy(self.tokens[part].astype(np.int64))
        w = torch.from_numpy(self.weights[part].astype(np.float32))
        return t[:, :-1], t[:, 1:], w[:, 1:]


@torch.no_grad()
def held_out_loss(model, rows, cos, sin):
    """Mean loss over the tokens to be learned (weight one), and the same over all tokens."""
    sums = torch.zeros(4)
    for i in range(len(rows)):
        x, y, w = rows[i]
        logits = model(x, cos[:x.shape[1]], sin[:x.shape[1]]).float()
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none")
        learn, real = (w == 1).flatten(), (w > 0).flatten()
        sums += torch.stack([loss[learn].sum(), learn.sum(), loss[real].sum(), real.sum()])
    return (sums[0] / sums[1]).item(), (sums[2] / sums[3]).item()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", type=pathlib.Path, required=True)
    p.add_argument("--steps", type=int, required=True)
    p.add_argument("--long-steps", type=int, default=0, help="how many of the steps, the last ones, use the long rows")
    p.add_argument("--batch", type=int, default=8192, help="tokens per step")
    p.add_argument("--micro", type=int, default=4096, help="tokens per forward pass")
    p.add_argument("--rate", type=float, default=0.02)
    p.add_argument("--embed-rate", type=float, default=0.003)
    p.add_argument("--threads", type=int, default=2, help="0: one, and a second one while the machine is idle")
    p.add_argument("--compile", type=int, default=1)
    p.add_argument("--layers", type=int, default=Shape.layers)
    p.add_argument("--seed", type=int, default=7)
    args = p.parse_args()
    threads = Threads(args.threads)
    torch.manual_seed(args.seed)
    shape = Shape(layers=args.layers)
    model = Llama(shape)
    print("parameters", sum(q.numel() for q in model.parameters()), flush=True)
    matrices = [q for q in model.blk.parameters() if q.dim() == 2]
    others = [model.token_embd.weight] + [q for q in model.parameters() if q.dim() == 1]
    muon = Muon(matrices)
    adam = torch.optim.AdamW(others, lr=0, betas=(0.9, 0.95), weight_decay=0.0, eps=1e-10)
    forward = torch.compile(model, dynamic=False) if args.compile else model
    cos, sin = rotation(shape, 2048, torch.bfloat16)

    def load(name):
        data = np.load(args.data / f"{name}.npz")["tokens"]
        return Rows(args.data / f"{name}.npz", max(1, args.micro // (data.shape[1] - 1)))

    short, long = load("train-short"), load("train-long")
    held = load("held-out")
    step, tokens, spent = 0, 0, 0.0
    saved = args.data / "checkpoint.pt"
    log = args.data / "training.csv"
    if saved.exists():
        state = torch.load(saved, weights_only=False)
        model.load_state_dict(state["model"])
        adam.load_state_dict(state["adam"])
        muon.state, step, tokens, spent = state["muon"], state["step"], state["tokens"], state["spent"]
        # What was logged after the checkpoint happens again.
        lines = log.read_text().splitlines(True)
        log.write_text("".join(x for x in lines if not x[0].isdigit() or int(x.split(",")[0]) <= step))
        print("resumed at step", step, flush=True)
    else:
        log.write_text("step,tokens,seconds,loss,held_out_loss,rate,tokens_per_second\n")
    begin = time.time() - spent
    last, last_tokens, running = time.time(), tokens, []
    while step < args.steps:
        threads.adapt()
        rows = long if step >= args.steps - args.long_steps else short
        index = step - (args.steps - args.long_steps) if rows is long else step
        length = rows.tokens.shape[1] - 1
        parts = max(1, args.batch // (rows.batch * length))
        rate = schedule(step, args.steps - args.long_steps, args.long_steps)
        loss_sum = 0.0
        for i in range(parts):
            x, y, w = rows[index * parts + i]
            with torch.autocast("cpu", torch.bfloat16):
                loss = weighted_loss(forward(x, cos[:length], sin[:length]), y, w)
            (loss / parts).backward()
            loss_sum += loss.item() / parts
            tokens += x.numel()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        muon.step(args.rate * rate)
        for group in adam.param_groups:
            group["lr"] = args.embed_rate * rate
        adam.step()
        model.zero_grad()
        running.append(loss_sum)
        step += 1
        if step % 20 == 0 or step == args.steps:
            now = time.time()
            speed = (tokens - last_tokens) / (now - last)
            full = step % 200 == 0 or step == args.steps
            heldout = ""
            if full:
                with torch.autocast("cpu", torch.bfloat16):
                    heldout = f"{held_out_loss(model, held, cos, sin)[0]:.4f}"
            with log.open("a", newline="") as f:
                csv.writer(f).writerow([step, tokens, round(now - begin), f"{sum(running) / len(running):.4f}", heldout, f"{rate:.3f}", round(speed)])
            print(step, tokens, round(now - begin), f"{sum(running) / len(running):.4f}", heldout, round(speed), flush=True)
            last, last_tokens, running = time.time(), tokens, []
        if step % 100 == 0 or step == args.steps:
            torch.save(dict(model=model.state_dict(), adam=adam.state_dict(), muon=muon.state, step=step, tokens=tokens, spent=time.time() - begin, shape=shape), str(saved) + ".new")
            pathlib.Path(str(saved) + ".new").rename(saved)


if __name__ == "__main__":
    main()
