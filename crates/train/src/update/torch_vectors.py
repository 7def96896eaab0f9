"""Writes torch_vectors.rs: what torch.optim makes of a small quadratic. `pip install torch`, then run this file."""

import pathlib

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR, StepLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

SGD = 'update = "sgd"\nlearning_rate = '


def sgd(p):
    return torch.optim.SGD(p, lr=0.1)


def warm(schedule):
    """Four steps of warm-up, and then `schedule`."""
    return lambda o: SequentialLR(o, [LinearLR(o, 0.25, 1.0, 3), schedule(o)], milestones=[4])


# A configuration, steps, an optimizer, a schedule.
CASES = [
    (SGD + '0.1', 5, sgd, None),
    (SGD + '0.1\nmomentum = 0.9\nweight_decay = 0.05', 7,
     lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.05), None),
    (SGD + '0.1\nmomentum = 0.9\nnesterov = true', 7,
     lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True), None),
    (SGD + '{ peak = 0.1, schedule = "cosine", last = 0.02 }', 9, sgd, lambda o: CosineAnnealingLR(o, 9, 0.02)),
    (SGD + '{ peak = 0.1, schedule = "linear", last = 0.02 }', 9, sgd, lambda o: LinearLR(o, 1.0, 0.2, 9)),
    (SGD + '{ peak = 0.1, schedule = "step", every = 3, factor = 0.5 }', 9, sgd, lambda o: StepLR(o, 3, 0.5)),
    (SGD + '{ peak = 0.1, warm_up = 4, schedule = "cosine" }', 11, sgd, warm(lambda o: CosineAnnealingLR(o, 7))),
    ('update = "adam"\nlearning_rate = 0.05', 9, lambda p: torch.optim.Adam(p, lr=0.05), None),
    ('update = "adam"\nlearning_rate = 0.05\nbeta1 = 0.8\nbeta2 = 0.9\neps = 0.001\nweight_decay = 0.1', 9,
     lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.9), eps=0.001, weight_decay=0.1), None),
    ('update = "adamw"\nlearning_rate = 0.05\nweight_decay = 0.1', 9,
     lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1), None),
    ('update = "adamw"\nlearning_rate = { peak = 0.05, schedule = "cosine" }\nweight_decay = 0.1', 9,
     lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1), lambda o: CosineAnnealingLR(o, 9)),
    ('update = "adagrad"\nlearning_rate = 0.2\nstart = 0.1\nweight_decay = 0.05', 8,
     lambda p: torch.optim.Adagrad(p, lr=0.2, initial_accumulator_value=0.1, weight_decay=0.05), None),
]

lines = [
    f"// Made by torch_vectors.py with torch {torch.__version__.split('+')[0]}, in f64.",
    "const TORCH: &[(&str, u64, [f64; 3])] = &[",
]
for config, steps, make, plan in CASES:
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
    c = torch.tensor([1.0, 0.5, 4.0], dtype=torch.float64)
    optimizer = make([w])
    schedule = plan(optimizer) if plan else None
    for _ in range(steps):
        optimizer.zero_grad()
        (c * w * w / 2).sum().backward()
        optimizer.step()
        if schedule:
            schedule.step()
    numbers = ", ".join(f"{x:.12}" for x in w.tolist())
    quoted = config.replace('"', '\\"').replace("\n", "\\n")
    lines.append(f'    ("{quoted}", {steps}, [{numbers}]),')
lines.append("];")

# A moving average of the weights while plain gradient descent runs.
model = torch.nn.Linear(3, 1, bias=False, dtype=torch.float64)
model.weight.data = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=False)
average.update_parameters(model)  # The first call copies.
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(6):
    optimizer.zero_grad()
    (torch.tensor([1.0, 0.5, 4.0], dtype=torch.float64) * model.weight**2 / 2).sum().backward()
    optimizer.step()
    average.update_parameters(model)
numbers = ", ".join(f"{x:.12}" for x in average.module.weight[0].tolist())
lines.append(f"/// The average that keeps 0.8 over 6 steps of gradient descent at 0.1.\nconst AVERAGE: [f64; 3] = [{numbers}];")
pathlib.Path(__file__).with_suffix(".rs").write_text("\n".join(lines) + "\n")
