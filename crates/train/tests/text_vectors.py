"""Losses and gradient norms of texts one at a time, WITHOUT padding, by PyTorch in f64: the numbers in text.rs.

python text_vectors.py   (torch 2.11)
"""
import math, torch
from torch import nn

torch.set_default_dtype(torch.float64)
V, D, L = 259, 4, 12
ROWS = [("", "héllo"), ("ab", "c"), ("name[X]", "a long reply"), ("much too long a prompt", "x"), ("", "twelve chars and more")]


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.m = nn.ModuleDict()
        self.m["0"] = nn.Embedding(V, D)
        self.m["1"] = nn.Embedding(L, D)
        block = nn.TransformerEncoderLayer(D, 2, 8, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.m["2"] = nn.ModuleDict({"layers": nn.ModuleList([block])})
        self.m["3"] = nn.LayerNorm(D)
        self.m["4"] = nn.Linear(D, V)
        with torch.no_grad():
            for name, p in self.m.named_parameters():
                start = sum(name.encode())
                p.copy_((0.4 * torch.sin(0.7 * torch.arange(p.numel()) + start)).reshape(p.shape))

    def forward(self, ids):
        t = len(ids)
        x = self.m["0"](ids) + self.m["1"].weight[:t]
        mask = torch.triu(torch.full((t, t), -math.inf), diagonal=1)
        x = self.m["2"]["layers"][0](x[None], src_mask=mask)
        return self.m["4"](self.m["3"](x))[0]


model = Decoder()
for prompt, text in ROWS:
    before = [b + 3 for b in prompt.encode()] + [2]
    all_ids = before + [b + 3 for b in text.encode()] + [1]
    inputs, targets = all_ids[:-1][:L], all_ids[1:][:L]
    asked = [i for i in range(len(inputs)) if i >= len(before) - 1]
    model.zero_grad()
    out = model(torch.tensor(inputs))
    loss = sum(nn.functional.cross_entropy(out[i], torch.tensor(targets[i])) for i in asked) / len(asked) if asked else None
    if loss is None:
        print("(0.0, 0.0),")
        continue
    loss.backward()
    square = sum((p.grad**2).sum() for p in model.parameters() if p.grad is not None)
    print(f"({loss.item():.9}, {square.sqrt().item():.9}),  # {len(asked)} tokens")
