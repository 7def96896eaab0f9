"""Times other accountants on the questions of `accounting.rs`, on the same machine, and prints a table.

    pip install dp-accounting prv-accountant opacus     # opacus without torch will do: --no-deps, see below
    python3 peers.py

Each answer is the best of some repetitions, imports excluded. The interval is what the library itself vouches for;
dp-accounting's lower end is its optimistic estimate, asked for separately and not timed.
"""

import importlib.util
import logging
import math
import pathlib
import sys
import time
import types

from dp_accounting import dp_event
from dp_accounting.pld import pld_privacy_accountant
from dp_accounting.pld import privacy_loss_distribution as pld
from dp_accounting.rdp import rdp_privacy_accountant

logging.disable()
Z, Q, T, DELTA = 1.0, 0.01, 10_000, 1e-5


def opacus_without_torch():
    """Its analysis modules need numpy alone; only the packages around them import torch."""
    if importlib.util.find_spec("torch"):
        return
    root = pathlib.Path(importlib.util.find_spec("opacus").submodule_search_locations[0])
    for name, path in (("opacus", root), ("opacus.accountants", root / "accountants"), ("opacus.optimizers", root)):
        module = types.ModuleType(name)
        module.__path__ = [str(path)]
        sys.modules[name] = module
    sys.modules["opacus.optimizers"].DPOptimizer = object


def step():
    return dp_event.PoissonSampledDpEvent(Q, dp_event.GaussianDpEvent(Z))


def timed(question, repetitions=3):
    best, answer = float("inf"), None
    for _ in range(repetitions):
        start = time.perf_counter()
        answer = question()
        best = min(best, time.perf_counter() - start)
    return best, answer


def row(name, question, repetitions=3, lower=None):
    seconds, answer = timed(question, repetitions)
    low, high = answer if isinstance(answer, tuple) else (lower() if lower else None, answer)
    interval = f"{low:.6f} .. {high:.6f}" if low is not None else f"{high:.6f}"
    print(f"| {name} | {1e3 * seconds:.2f} | {interval} |", flush=True)


def dp_pld(discretization):
    accountant = pld_privacy_accountant.PLDAccountant(value_discretization_interval=discretization)
    accountant.compose(step(), T)
    return accountant.get_epsilon(DELTA)


def dp_pld_lower(discretization):
    one = pld.from_gaussian_mechanism(
        Z, pessimistic_estimate=False, value_discretization_interval=discretization, sampling_prob=Q
    )
    return one.self_compose(T).get_epsilon_for_delta(DELTA)


def dp_rdp():
    accountant = rdp_privacy_accountant.RdpAccountant()
    accountant.compose(step(), T)
    return accountant.get_epsilon(DELTA)


def dp_calibrate():
    from dp_accounting import mechanism_calibration as calibration

    return calibration.calibrate_dp_mechanism(
        pld_privacy_accountant.PLDAccountant,
        lambda z: dp_event.SelfComposedDpEvent(
            dp_event.PoissonSampledDpEvent(Q, dp_event.GaussianDpEvent(float(z))), T
        ),
        1.0,
        DELTA,
        calibration.ExplicitBracketInterval(0.5, 20.0),
        tol=1e-4,
    )


def prv(error):
    from prv_accountant import PRVAccountant, PoissonSubsampledGaussianMechanism

    mechanism = PoissonSubsampledGaussianMechanism(noise_multiplier=Z, sampling_probability=Q)
    accountant = PRVAccountant(
        prvs=[mechanism], max_self_compositions=[T], eps_error=error, delta_error=DELTA / 1000
    )
    low, _, high = accountant.compute_epsilon(delta=DELTA, num_self_compositions=[T])
    return float(low), float(high)


def opacus_prv():
    from opacus.accountants.analysis import prv as analysis

    # As in its PRVAccountant, which upstream imports torch.
    one = analysis.PoissonSubsampledGaussianPRV(Q, Z)
    error, delta_error = 0.01, DELTA / 1000
    reach = analysis.compute_safe_domain_size([one], [T], error, delta_error)
    mesh = error / math.sqrt(T * math.log(12 / delta_error) / 2)
    domain = analysis.Domain.create_aligned(-reach, reach, mesh)
    cells = analysis.discretize(analysis.TruncatedPrivacyRandomVariable(one, domain.t_min, domain.t_max), domain)
    low, _, high = analysis.compose_heterogeneous([cells], [T]).compute_epsilon(DELTA, delta_error, error)
    return float(low), float(high)


def opacus_rdp():
    from opacus.accountants.analysis import rdp

    orders = [1 + x / 10.0 for x in range(1, 100)] + list(range(12, 64))
    values = rdp.compute_rdp(q=Q, noise_multiplier=Z, steps=T, orders=orders)
    return float(rdp.get_privacy_spent(orders=orders, rdp=values, delta=DELTA)[0])


def rdp_each_step():
    """Composing one step and asking, again and again."""
    accountant = rdp_privacy_accountant.RdpAccountant()
    for _ in range(1000):
        accountant.compose(step())
        answer = accountant.get_epsilon(DELTA)
    return answer


def pld_each_step():
    """As the library offers it: one more convolution a step. Ten of the thousand steps, times a hundred."""
    one = pld.from_gaussian_mechanism(Z, value_discretization_interval=1e-4, sampling_prob=Q)
    total = one
    for _ in range(9):
        total = total.compose(one)
        answer = total.get_epsilon_for_delta(DELTA)
    return answer


def main():
    opacus_without_torch()
    print(f"z {Z}, q {Q}, {T} steps, delta {DELTA}\n\n| question | ms | answer |\n| --- | --- | --- |")
    for h in (1e-4, 1e-5):
        row(f"dp-accounting PLD, grid {h}", lambda: dp_pld(h), lower=lambda: dp_pld_lower(h))
    row("prv-accountant, eps_error 0.01", lambda: prv(0.01))
    row("prv-accountant, eps_error 0.001", lambda: prv(0.001), 1)
    row("Opacus PRV, eps_error 0.01", opacus_prv)
    row("dp-accounting RDP", dp_rdp)
    row("Opacus RDP", opacus_rdp)
    row("dp-accounting PLD, noise for epsilon 1", dp_calibrate, 1)
    row("dp-accounting RDP, epsilon after each of 1000 steps", rdp_each_step, 1)
    row("dp-accounting PLD, epsilon after each of 10 steps", pld_each_step, 1)


if __name__ == "__main__":
    main()
