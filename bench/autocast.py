#!/usr/bin/env python3
"""Time one ordinary (not private) PyTorch training step in bf16: how fast the step gets that a private one is measured against.

    python bench/autocast.py --peers DIR                                    # every job of PLAN, the most telling first
    python bench/autocast.py --peers DIR W5:bf16-compile W6:bf16-compile/nhwc
    python bench/autocast.py --peers DIR --device cpu --batch 4 W2:bf16

What is timed is what `bench_peers.py` times as its peer `torch` (forward, loss, backward, plain SGD on one fixed batch; networks,
batches, loss and stop watch are taken from DIR, which must hold bench_peers.py and workloads_torch.py), on one GPU, in these settings:

    tf32             eager, f32 tensors, TF32 products: the peer `torch --tf32` itself
    bf16             eager under torch.autocast(bfloat16); parameters, gradients and the update stay f32
    bf16-compile     the same with network and loss through torch.compile, fused SGD
    bf16-tuned       the same, mode="max-autotune-no-cudagraphs"
    bf16-overhead    the same, mode="reduce-overhead" (CUDA graphs of forward and backward)
    bf16-captured    bf16-compile, then the whole step, update included, captured as one CUDA graph and replayed
    .../nhwc         any of them with network and batch in channels_last memory format (W2, W3, W6)

Each job runs alone in a forked process of its own (Linux) with a time limit; one that fails costs its own row. Expect a
quarter of an hour for PLAN, most of it compiling. Rows are JSON lines, then a table:
`ms` is the median of >= 20 steps, each between two device synchronisations; `peak_mib` the most that PyTorch held during them (captured:
while the graph was recorded), `run_mib` the most since the start, warm-up included (bf16-overhead: a replay allocates nothing, so trust
this one); `loss` the first step's, by which one sees that the settings train the same network.
"""

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import signal
import sys
import time
import traceback

import torch

MODES = {
    "bf16-compile": "default",
    "bf16-captured": "default",
    "bf16-tuned": "max-autotune-no-cudagraphs",
    "bf16-overhead": "reduce-overhead",
}
SETTINGS = ["tf32", "bf16", *MODES]
EVERY, CONVOLUTIONS = ["W5", "W6", "W3", "W4", "W2", "W1"], ["W6", "W3", "W2"]
ORDER = [("bf16-compile", EVERY), ("bf16-compile/nhwc", CONVOLUTIONS), ("bf16-captured", EVERY), ("tf32", EVERY)]
ORDER += [("bf16-tuned", ["W5", "W6"]), ("bf16", EVERY), ("bf16-captured/nhwc", CONVOLUTIONS), ("bf16-overhead", EVERY)]
ORDER += [("bf16-tuned", ["W3", "W4", "W2", "W1"]), ("bf16/nhwc", CONVOLUTIONS)]
PLAN = [(workload, setting) for setting, workloads in ORDER for workload in workloads]


def job(text):
    """'W6:bf16/nhwc' -> ('W6', 'bf16/nhwc')."""
    workload, _, setting = text.partition(":")
    if workload not in EVERY or setting.removesuffix("/nhwc") not in SETTINGS:
        raise argparse.ArgumentTypeError(f"{text!r} is not WORKLOAD:SETTING[/nhwc]: one of {EVERY}, one of {SETTINGS}")
    return workload, setting


def build(workload, setting, opts):
    """-> the step as a function that returns its loss."""
    import bench_peers
    import workloads_torch

    layout = torch.channels_last if setting.endswith("/nhwc") else torch.contiguous_format
    setting = setting.removesuffix("/nhwc")
    batch = opts.batch or bench_peers.WORKLOADS[workload][2 if opts.device == "cuda" else 1]
    x, y = (torch.from_numpy(a).to(opts.device) for a in bench_peers.make_data(workload, batch))
    x = x.contiguous(memory_format=layout)
    model = workloads_torch.build(workload, opts.device).to(memory_format=layout).train()
    criterion = workloads_torch.Loss("mean")
    update = torch.optim.SGD(model.parameters(), lr=bench_peers.LR, fused=True if setting in MODES else None)

    def loss_of(x, y):
        with torch.autocast(opts.device, torch.bfloat16, enabled=setting != "tf32"):
            return criterion(model(x), y)

    run = torch.compile(loss_of, mode=MODES[setting]) if setting in MODES else loss_of

    def step():
        update.zero_grad(set_to_none=True)
        loss = run(x, y)
        loss.backward()
        update.step()
        return loss.detach()

    return step


def capture(step):
    """The step as one CUDA graph; the peak of memory counts from here."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def time_step(workload, setting, opts):
    """-> one row."""
    import bench_peers

    cuda, mib = opts.device == "cuda", 2**20
    bench_peers.torch_setup(opts)
    sync = torch.cuda.synchronize if cuda else (lambda: None)
    start = time.perf_counter()
    step = build(workload, setting, opts)
    loss = float(step())
    first_s = time.perf_counter() - start
    for _ in range(3):
        step()
    sync()
    run_mib = torch.cuda.max_memory_allocated() / mib if cuda else 0
    if setting.startswith("bf16-captured"):
        step = capture(step)
    elif cuda:
        torch.cuda.reset_peak_memory_stats()
    row = bench_peers.measure_once(step, sync, opts) | {"status": "ok", "first_s": first_s, "loss": loss}
    if cuda:
        row["peak_mib"] = torch.cuda.max_memory_allocated() / mib
        row["run_mib"] = max(run_mib, row["peak_mib"])
        row["reserved_mib"] = torch.cuda.max_memory_reserved() / mib
    return row if math.isfinite(loss) else row | {"status": "loss is not finite"}


def child(workload, setting, opts, pipe):
    os.setsid()  # the compiler's workers end with this job
    try:
        row = time_step(workload, setting, opts)
    except Exception as error:
        traceback.print_exc()
        row = {"status": "failed", "error": f"{type(error).__name__}: {error}"[-1500:]}
    pipe.send(row)


def run_job(workload, setting, opts, limit):
    """The row of a job's own process, which ends with its workers after at most `limit` seconds."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)
    process = fork.Process(target=child, args=(workload, setting, opts, there))
    process.start()
    there.close()
    row = {"status": f"stopped after {limit:.0f} s"}
    try:
        if here.poll(limit):
            row = here.recv()
    except EOFError:
        process.join()
        row = {"status": f"process ended with {process.exitcode}"}
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()
    return row


def table(rows):
    columns = ("ms", "ms_p10", "ms_p90", "peak_mib", "run_mib", "first_s", "loss")
    lines = ["{:23s}".format("") + "".join(f"{c:>10s}" for c in columns)]
    for r in sorted(rows, key=lambda r: (r["workload"], r.get("ms", math.inf))):
        numbers = "".join(f"{r.get(c, math.nan):10.3f}" for c in columns) if "ms" in r else r["status"]
        lines.append(f"{r['workload']:3s}{r['setting']:20s}{numbers}")
    return "\n".join(lines)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("jobs", nargs="*", type=job, default=PLAN, help="WORKLOAD:SETTING[/nhwc]; all of PLAN by default")
    ap.add_argument("--peers", default=os.environ.get("PEERS"), help="folder of bench_peers.py (or the variable PEERS)")
    ap.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    ap.add_argument("--batch", type=int, help="another batch size")
    ap.add_argument("--limit-s", type=float, default=120.0, help="longest one job may take")
    ap.add_argument("--deadline-s", type=float, default=math.inf, help="end everything by then")
    opts = ap.parse_args()
    if not opts.peers or not os.path.exists(os.path.join(opts.peers, "bench_peers.py")):
        ap.error("--peers (or the variable PEERS) must name the folder that holds bench_peers.py")
    sys.path.insert(0, os.path.abspath(opts.peers))
    rows, begun = [], time.perf_counter()
    vars(opts).update(tf32=True, threads=os.cpu_count(), warmup=5, warmup_s=0.3, min_iters=20, max_iters=200, budget_s=1.5)
    for workload, setting in opts.jobs:
        row = {"status": "past the deadline"}
        left = begun + opts.deadline_s - time.perf_counter()
        if left > 0:
            row = run_job(workload, setting, opts, min(opts.limit_s, left))
        rows.append({"workload": workload, "setting": setting, **row})
        print(json.dumps(rows[-1]), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
