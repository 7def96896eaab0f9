"""Writes vectors.json: inputs, outputs and gradients of every operation as PyTorch computes them.

The oracle of ../pytorch.rs. Run it with any recent CPU or CUDA build of PyTorch (made with 2.15):

    python -m venv venv && venv/bin/pip install torch && venv/bin/python make.py

Everything is computed in float64 and written with 7 significant digits. `dy` is the gradient by the output, `dx` the
gradient by the input; `grad_*` are per-example parameter gradients, one row for each example, made by one backward
pass for each example.
"""

import json
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(7)
cases = []


def pack(t):
    return {"shape": list(t.shape), "data": [float(f"{v:.7g}") for v in t.detach().double().flatten().tolist()]}


def rand(*shape, scale=1.0):
    # Values that float32 holds exactly, so that both sides start from the same numbers.
    return ((torch.rand(*shape) * 2 - 1) * scale).float().mul(4096).round().div(4096).double()


def case(op, config, tensors, indices=None):
    cases.append(
        {
            "op": op,
            "config": config,
            "tensors": {k: pack(v) for k, v in tensors.items()},
            "indices": {k: v.flatten().tolist() for k, v in (indices or {}).items()},
        }
    )


def run(op, f, x, params, config=None, indices=None):
    """f(x, *params) batched; records y, dx and every example's own parameter gradients."""
    params = {k: v.requires_grad_() for k, v in params.items()}
    x = x.clone().requires_grad_()
    y = f(x, *params.values())
    dy = rand(*y.shape)
    out = {"x": x, "y": y, "dy": dy, "dx": torch.autograd.grad(y, x, dy, retain_graph=True)[0], **params}
    for name, p in params.items():
        rows = [torch.autograd.grad(y[i], p, dy[i], retain_graph=True)[0].flatten() for i in range(len(x))]
        out["grad_" + name] = torch.stack(rows)
    case(op, config or {}, out, indices)


for shape, o, bias in [((3, 5), 4, True), ((2, 3, 6), 1, True), ((2, 2, 3, 4), 3, False)]:
    params = {"w": rand(o, shape[-1])} | ({"b": rand(o)} if bias else {})
    run("linear", lambda x, w, b=None: F.linear(x, w, b), rand(*shape), params)

for n, c, h, w, o, kernel, stride, padding, bias in [
    (2, 1, 9, 8, 3, (4, 4), (2, 2), (1, 1), True),
    (3, 2, 5, 7, 2, (3, 3), (1, 1), (1, 1), True),
    (2, 3, 6, 5, 4, (1, 1), (1, 1), (0, 0), False),
    (2, 2, 7, 9, 3, (2, 3), (3, 2), (0, 2), True),
    (1, 2, 8, 6, 2, (3, 2), (1, 3), (2, 1), False),
    (2, 1, 10, 10, 2, (8, 8), (2, 2), (3, 3), True),
]:
    params = {"w": rand(o, c, *kernel)} | ({"b": rand(o)} if bias else {})
    f = lambda x, w, b=None, s=stride, p=padding: F.conv2d(x, w, b, s, p)
    run("conv2d", f, rand(n, c, h, w), params, {"kernel": kernel, "stride": stride, "padding": padding})

special = torch.tensor([[0.0, 1e-3, -1e-3, 5.0, -5.0, 9.0, -9.0, 0.625, -0.93, 20.0, -20.0, 3.0]], dtype=torch.float64)
for name, f in {
    "relu": F.relu,
    "tanh": torch.tanh,
    "gelu_erf": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}.items():
    run(name, f, torch.cat([rand(3, 12, scale=4.0), special.float().double()]), {})

pools = [
    (2, 2, 5, 6, (2, 2), (1, 1), (0, 0)),
    (2, 1, 7, 8, (2, 2), (2, 2), (0, 0)),
    (1, 2, 6, 9, (2, 2), (1, 3), (0, 0)),
    (2, 1, 7, 6, (3, 3), (2, 1), (1, 1)),
    (1, 1, 5, 7, (2, 4), (2, 3), (1, 2)),
]
for n, c, h, w, kernel, stride, padding in pools:
    config = {"kernel": kernel, "stride": stride, "padding": padding}
    # Few distinct values, so that there are ties.
    x = rand(n, c, h, w).mul(3).round()
    at = F.max_pool2d(x, kernel, stride, padding, return_indices=True)[1]
    run("max_pool2d", lambda x: F.max_pool2d(x, kernel, stride, padding), x, {}, config, {"argmax": at})
    run("avg_pool2d", lambda x: F.avg_pool2d(x, kernel, stride, padding), rand(n, c, h, w), {}, config)

for shape in [(3, 7), (2, 3, 16), (2, 2, 33)]:
    d = shape[-1]
    f = lambda x, g, b: F.layer_norm(x, (d,), g, b, 1e-5)
    run("layer_norm", f, rand(*shape, scale=3.0) + 1, {"gamma": rand(d), "beta": rand(d)}, {"eps": 1e-5})

for shape, groups in [((2, 6, 3, 2), 3), ((3, 4, 5, 1), 1), ((2, 3, 2, 3), 3)]:
    c = shape[1]
    f = lambda x, g, b: F.group_norm(x, groups, g, b, 1e-5)
    run("group_norm", f, rand(*shape, scale=3.0), {"gamma": rand(c), "beta": rand(c)}, {"eps": 1e-5, "groups": groups})

for n, t, v, d in [(2, 5, 4, 3), (3, 1, 7, 2)]:
    ids, table = torch.randint(v, (n, t)), rand(v, d).requires_grad_()
    y = F.embedding(ids, table)
    dy = rand(n, t, d)
    rows = [torch.autograd.grad(y[i], table, dy[i], retain_graph=True)[0].flatten() for i in range(n)]
    case("embedding", {}, {"table": table, "y": y, "dy": dy, "grad_table": torch.stack(rows)}, {"ids": ids})


def loss(op, f, x, config, tensors, indices=None):
    x = x.clone().requires_grad_()
    losses = f(x)
    case(op, config, {"x": x, "losses": losses, "dx": torch.autograd.grad(losses.sum(), x)[0], **tensors}, indices)


for x in [rand(5, 3, scale=2.0), rand(4, 10, scale=200.0), rand(2, 1), rand(3, 20, scale=8.0)]:
    labels = torch.randint(x.shape[1], (len(x),))
    loss("cross_entropy", lambda x: F.cross_entropy(x, labels, reduction="none"), x, {}, {}, {"labels": labels})
for x in [rand(4, 3, scale=3.0), rand(3, 2, scale=150.0)]:
    t = (rand(*x.shape) + 1) / 2
    bce = lambda x: F.binary_cross_entropy_with_logits(x, t, reduction="none").mean(1)
    loss("sigmoid_cross_entropy", bce, x, {}, {"targets": t})
    loss("mean_squared_error", lambda x: F.mse_loss(x, t, reduction="none").mean(1), x, {}, {"targets": t})

# New operations come last, so that the numbers of the others stay as they are.
run("silu", F.silu, torch.cat([rand(3, 12, scale=4.0), special.float().double()]), {})

for shape in [(3, 7), (2, 3, 16), (2, 2, 33)]:
    f = lambda x, g: F.rms_norm(x, (x.shape[-1],), g, 1e-5)
    run("rms_norm", f, rand(*shape, scale=3.0), {"gamma": rand(shape[-1])}, {"eps": 1e-5})


def attend(qkv, heads, causal, present):
    n, t, triple = qkv.shape
    q, k, v = qkv.view(n, t, 3, heads, triple // (3 * heads)).permute(2, 0, 3, 1, 4)
    mask = present.view(n, 1, 1, t).expand(n, 1, t, t)
    if causal:
        mask = mask & torch.ones(t, t, dtype=torch.bool).tril()
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return y.transpose(1, 2).reshape(n, t, triple // 3)


for n, t, heads, width, causal, padded in [
    (2, 5, 2, 3, False, False),
    (2, 5, 2, 3, True, False),
    (3, 6, 1, 4, False, True),
    (2, 7, 3, 2, True, True),
    (2, 1, 2, 4, True, False),
    (1, 70, 1, 2, True, False),
    (1, 37, 1, 2, False, True),
]:
    present = torch.ones(n, t, dtype=torch.bool)
    if padded:
        # Position 0 stays, so that no causal query is left without anybody to look at.
        present = torch.rand(n, t) < 0.6
        present[:, 0] = True
    f = lambda qkv: attend(qkv, heads, causal, present)
    config = {"heads": heads, "causal": causal}
    run("attention", f, rand(n, t, 3 * heads * width, scale=3.0), {}, config, {"present": present.int()})

# Weight standardisation of a linear map; each example's gradient by the weight and by the gain. The second weight has
# a row of equal numbers, whose variance is below eps.
for n, o, fan_in, equal in [(3, 4, 9, False), (2, 3, 20, True)]:
    w, gain = rand(o, fan_in), rand(o)
    if equal:
        w[1] = 0.25

    def f(x, w, gain):
        var, mean = torch.var_mean(w, 1, correction=0, keepdim=True)
        scale = torch.rsqrt((var * fan_in).clamp(min=1e-4))
        return F.linear(x, (w - mean) * scale * gain[:, None])

    run("standardise", f, rand(n, fan_in), {"w": w, "gain": gain}, {"eps": 1e-4})

# One table at the input and the output; the hidden state between them is the embedding times a constant.
for n, t, v, d in [(3, 5, 4, 3), (2, 4, 90, 70), (2, 1, 60, 40)]:
    ids, table, c = torch.randint(v, (n, t)), rand(v, d).requires_grad_(), rand(d)
    embedded = F.embedding(ids, table)
    h = embedded * c
    logits = F.linear(h, table)
    r = rand(*logits.shape)
    e = torch.autograd.grad(logits, embedded, r, retain_graph=True)[0]
    rows = [torch.autograd.grad(logits[i], table, r[i], retain_graph=True)[0].flatten() for i in range(n)]
    norms = torch.stack(rows).square().sum(1)
    case("tied", {}, {"e": e, "h": h, "r": r, "norms": norms}, {"ids": ids})

# The mean over an example's own counted tokens; label 4294967295 is not counted.
for n, t, v in [(3, 4, 5), (2, 3, 37)]:
    labels = torch.randint(v, (n, t))
    labels[0, 1:] = labels[1, 0] = -1
    token = lambda x: torch.stack([F.cross_entropy(x[i], labels[i], ignore_index=-1) for i in range(n)])
    loss("token_cross_entropy", token, rand(n, t, v, scale=8.0), {}, {}, {"labels": labels % 2**32})

path = pathlib.Path(__file__).with_name("vectors.json")
path.write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")
print(len(cases), "cases,", path.stat().st_size, "bytes")
