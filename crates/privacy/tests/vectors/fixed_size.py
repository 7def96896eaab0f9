"""Exact epsilons of batches of a fixed size under replace-one: of the dominating pair, by a route that shares nothing with the code.

With P = N(1, z^2), Q = N(0, z^2) and a share q of the examples in a batch, delta of one round is, for x = e^eps >= 1, the divergence
of (1-q) Q + q P from Q at x, and for x < 1 it is 1 - x + x delta(1/x): Zhu, Dong & Wang 2022, Proposition 30. Here that function
of x is all that is used, and what follows from it: chances that a loss exceeds something.

    one      one round: the closed form itself, with 50 digits
    two      two rounds: delta_2(eps) = integral of delta_1(eps - l) over the loss l of one round, by mpmath
    many     composed rounds: M(s) = E e^(s l) = 1 + s (integral over l > 0 of e^(s l) P[loss > l] - e^(-s l) Q[loss > l]), by
             tanh-sinh, then the inversion of quadrature.py; twice, with both steps changed

    python3 fixed_size.py > fixed_size.txt          # numpy, mpmath; one thread, some minutes
"""

import math
import sys

import mpmath
import numpy as np

mpmath.mp.dps = 50


def curve(z, q, eps):
    """delta of one round at eps >= 0, in mpmath's numbers."""
    eps = mpmath.mpf(eps)
    t = mpmath.log1p(mpmath.expm1(eps) / q)
    return q * mpmath.ncdf(1 / (2 * z) - t * z) - (mpmath.expm1(eps) + q) * mpmath.ncdf(-1 / (2 * z) - t * z)


def above(z, q, eps):
    """Chances that the loss is more than eps >= 0, under the first and the second of the pair."""
    t = mpmath.log1p(mpmath.expm1(mpmath.mpf(eps)) / q)
    second = mpmath.ncdf(-1 / (2 * z) - t * z)
    return q * mpmath.ncdf(1 / (2 * z) - t * z) + (1 - q) * second, second


def at_delta(delta_at, delta, digits=120):
    if delta_at(mpmath.mpf(0)) <= delta:
        return mpmath.mpf(0)
    low, high = mpmath.mpf(0), mpmath.mpf(1)
    while delta_at(high) > delta:
        low, high = high, 2 * high
    for _ in range(digits):
        middle = (low + high) / 2
        low, high = (middle, high) if delta_at(middle) > delta else (low, middle)
    return high


def one(z, q, delta):
    return at_delta(lambda eps: curve(z, q, eps), delta)


def two(z, q, delta):
    """Two rounds. The loss above 0 has the density of (1-q) Q + q P where that is more than Q; below 0 it is the mirror image."""

    def delta_1(eps):
        return curve(z, q, eps) if eps >= 0 else 1 - mpmath.exp(eps) + mpmath.exp(eps) * curve(z, q, -eps)

    def delta_2(eps):
        up, down = above(z, q, 0)
        atom = 1 - up - down
        # Places of noise, so that the density is a normal one: t is the loss without sampling, over z.
        def term(u, sign):
            loss = mpmath.log1p(q * mpmath.expm1(u / z))
            p = q * mpmath.npdf(u - 1 / (2 * z)) + (1 - q) * mpmath.npdf(u + 1 / (2 * z))
            weight = p if sign > 0 else mpmath.npdf(u + 1 / (2 * z))
            return weight * delta_1(eps - sign * loss)

        kink = z * mpmath.log1p(mpmath.expm1(eps) / q)
        cuts = sorted({mpmath.mpf(0), kink, 1 / (2 * z), kink + 3, kink + 14, kink + 1 / (2 * z) + 20})
        return atom * delta_1(eps) + mpmath.quad(lambda u: term(u, 1), cuts) + mpmath.quad(lambda u: term(u, -1), [0, 3, 8, 20])

    mpmath.mp.dps = 25
    found = at_delta(delta_2, delta, 45)
    mpmath.mp.dps = 50
    return found


def log_ndtr(x):
    """log of the normal distribution function, far below 0 by its continued fraction."""
    x = np.asarray(x, dtype=float)
    near = np.maximum(x, -12.0)
    erfc = np.vectorize(math.erfc)
    direct = np.log(0.5 * erfc(-near / math.sqrt(2)))
    far = -np.minimum(x, -12.0)
    fraction = far.copy()
    for k in range(60, 0, -1):
        fraction = far + k / fraction
    return np.where(x > -12.0, direct, -0.5 * far * far - 0.5 * math.log(2 * math.pi) - np.log(fraction))


class Composed:
    """Many rounds, from tail chances: E e^(s l) - 1 over l > 0 is s times the integral of e^(s l) P[l' > l]; below 0 the mirror image
    gives -s times that of e^(-s l) Q[l' > l] over l > 0, Q being what the mirror image has for P."""

    def __init__(self, z, q, steps):
        self.z, self.q, self.steps = z, q, steps

    def grid(self, fine):
        """Losses above 0 and weights, by tanh-sinh in the place t = log(1 + (e^l - 1)/q) of noise."""
        z, q = self.z, self.q
        reach = (40.0 + 1 / (2 * z)) / z * 1.0
        h = 0.012 * fine
        k = np.arange(-340 / fine, 340 / fine + 1)
        x = 0.5 * math.pi * np.sinh(k * h)
        t = reach / (1 + np.exp(-2 * x))
        dt = reach * h * 0.5 * math.pi * np.cosh(k * h) / (2 * np.cosh(x) ** 2)
        keep = (dt > 0) & (t > 0)
        t, dt = t[keep], dt[keep]
        loss = np.log1p(q * np.expm1(np.minimum(t, 600.0)))
        slope = q * np.exp(t) / (1 + q * np.expm1(np.minimum(t, 600.0)))
        return t, loss, dt * slope

    def setup(self, fine):
        z, q = self.z, self.q
        t, loss, weight = self.grid(fine)
        second = log_ndtr(-1 / (2 * z) - t * z)
        first = np.logaddexp(math.log(q) + log_ndtr(1 / (2 * z) - t * z), math.log1p(-q) + second)
        return loss, np.log(weight) + first, np.log(weight) + second

    def log_mgf(self, s, tables):
        loss, first, second = tables
        s = np.atleast_1d(s)[:, None]
        up = np.exp(first[None, :] + s * loss[None, :]).sum(axis=1)
        down = np.exp(second[None, :] - s * loss[None, :]).sum(axis=1)
        return np.log1p(s[:, 0] * (up - down))


def cumulants(run, c, tables):
    h = 1e-3 * c
    k = [run.steps * run.log_mgf(np.array([c + d * h + 0j]), tables)[0].real for d in (-1, 0, 1)]
    return k[1], (k[2] - k[0]) / (2 * h), (k[2] - 2 * k[1] + k[0]) / h**2


def many(z, q, steps, delta, fine):
    run = Composed(z, q, steps)
    tables = run.setup(fine)
    low, high = math.log(1e-2), math.log(3e3)

    def at(c):
        k0, k1, k2 = cumulants(run, c, tables)
        eps = k1 - 1 / c - 1 / (c + 1)
        bend = k2 + 1 / c**2 + 1 / (c + 1) ** 2
        return k0 - c * eps - math.log(c * (c + 1)) - 0.5 * math.log(2 * math.pi * bend), eps, 1 / math.sqrt(bend)

    for _ in range(50):
        middle = 0.5 * (low + high)
        value = at(math.exp(middle))[0]
        low, high = (middle, high) if not value < math.log(delta) else (low, middle)
    c = math.exp(high)
    _, eps, width = at(c)
    dt = fine * min(2 * math.pi * c / (36 - math.log(delta)), width * 2 * math.pi / 22)
    points, logs, start = [], [], 0
    while True:
        s = c + 1j * dt * np.arange(start, start + 64)
        values = steps * run.log_mgf(s, tables) - np.log(s * (s + 1))
        points.append(s), logs.append(values)
        if values.real.max() < logs[0][0].real - 38:
            break
        start += 64
        if start > 40_000:
            return None
    s, logs = np.concatenate(points), np.concatenate(logs)
    weight = np.full(len(s), dt / math.pi)
    weight[0] /= 2
    for _ in range(80):
        top = (logs - s * eps).real.max()
        terms = weight * np.exp(logs - s * eps - top)
        value = terms.sum().real
        if not value > 0:
            return None
        slope = -(terms * s).sum().real / value
        step = max(-0.5, min(0.5, (math.log(delta) - top - math.log(value)) / slope))
        eps += step
        if abs(step) < 1e-13 * max(1.0, abs(eps)):
            break
    return eps if abs(step) < 1e-10 and eps > 0 else None


def drawn(rng, low, high):
    return float(f"{math.exp(rng.uniform(math.log(low), math.log(high))):.4g}")


def batch(rng, low, high):
    examples = int(drawn(rng, 2000, 2e5))
    size = max(1, min(examples - 1, round(examples * drawn(rng, low, high))))
    return size, examples


def main():
    rng = np.random.default_rng(20261126)
    print("# delta epsilon (noise over what one replaced example may move the sum) (batch) (examples) (rounds); made by fixed_size.py")
    say = lambda delta, eps, z, m, n, t: print(delta, repr(float(eps)), z, m, n, t, flush=True)
    for _ in range(20):
        z, (m, n), delta = drawn(rng, 0.3, 3), batch(rng, 1e-4, 0.9), float(f"{10 ** rng.uniform(-10, -4):.3g}")
        say(delta, one(mpmath.mpf(z), mpmath.mpf(m) / n, mpmath.mpf(delta)), z, m, n, 1)
    for _ in range(8):
        z, (m, n), delta = drawn(rng, 0.4, 3), batch(rng, 1e-3, 0.9), float(f"{10 ** rng.uniform(-10, -4):.3g}")
        say(delta, two(mpmath.mpf(z), mpmath.mpf(m) / n, mpmath.mpf(delta)), z, m, n, 2)
    done, slow, worst = 0, 0, 0.0
    while done < 78:
        z, (m, n), delta = drawn(rng, 0.5, 5), batch(rng, 1e-4, 0.9), float(f"{10 ** rng.uniform(-10, -3):.3g}")
        steps = int(drawn(rng, 3, 1e5))
        with np.errstate(all="ignore"):
            answers = [many(z, m / n, steps, delta, fine) for fine in (1.0, 0.7)]
        if None in answers or abs(answers[0] - answers[1]) > 1e-9 * max(1.0, answers[1]) or answers[1] > 200:
            slow += 1
            continue
        worst, done = max(worst, abs(answers[0] - answers[1])), done + 1
        say(delta, answers[1], z, m, n, steps)
    print(f"left out: {slow}; the two computations differ by at most {worst:.1e}", file=sys.stderr)


if __name__ == "__main__":
    main()
