"""AdaProxy's solver against an independent convex solver and a dual bound (P5), and leave-one-out against refitting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from ogive._errors import InputError
from ogive.predictors._adaproxy import Problem, independent, norm_of

NORMS = [1, 2, math.inf]


def problem(seed, n=24, d=7):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, d)) * rng.uniform(0.2, 2, d)
    return z, z @ (1 + rng.normal(size=d)) + 3 + 0.3 * rng.normal(size=n)


def objective(z, y, a, b, c, penalty, p):
    return ((z @ (a + b) + c - y) ** 2).mean() + penalty * np.linalg.norm(b, p)


def by_slsqp(z, y, penalty, p):
    """Minimise over (a, b+, b-, c, t) in a smooth form: b = b+ - b-, and t bounds the norm."""
    d = z.shape[1]

    def value(v):
        r = z @ (v[0] + v[1 : d + 1] - v[d + 1 : 2 * d + 1]) + v[-2] - y
        slope = z.T @ r * 2 / len(y)
        return (r @ r) / len(y) + penalty * v[-1], np.r_[slope.sum(), slope, -slope, 2 * r.mean(), penalty]

    if p == 1:
        rule = {"type": "ineq", "fun": lambda v: v[-1] - v[1 : 2 * d + 1].sum()}
    elif p == 2:
        rule = {"type": "ineq", "fun": lambda v: v[-1] ** 2 - ((v[1 : d + 1] - v[d + 1 : 2 * d + 1]) ** 2).sum()}
    else:
        rule = {"type": "ineq", "fun": lambda v: v[-1] - v[1 : d + 1] - v[d + 1 : 2 * d + 1]}
    bounds = [(None, None)] + [(0, None)] * (2 * d) + [(None, None), (0, None)]
    start = np.r_[1.0, np.full(2 * d, 0.1), y.mean(), 5.0]
    options = {"maxiter": 2000, "ftol": 1e-14}
    found = minimize(value, start, jac=True, bounds=bounds, constraints=[rule], method="SLSQP", options=options).x
    return objective(z, y, found[0], found[1 : d + 1] - found[d + 1 : 2 * d + 1], found[-2], penalty, p)


@pytest.mark.parametrize("p", NORMS)
def test_the_objective_is_that_of_a_convex_solver(p):
    for seed in range(20):
        z, y = problem(seed)
        penalty = 10.0 ** np.random.default_rng(seed).uniform(-2.5, 0)
        solved = Problem(z, y)
        b = solved.solve(penalty, p)
        a, c = solved.terms(b)
        mine, other = objective(z, y, a, b, c, penalty, p), by_slsqp(z, y, penalty, p)
        assert mine <= other * (1 + 1e-5)
        # And no solver can do better than the dual: u is orthogonal to the free terms and has |A'u|_q <= n penalty / 2.
        u = solved.r - solved.A @ b
        q = {1: math.inf, 2: 2, math.inf: 1}[p]
        u = u * min(1.0, len(y) * penalty / 2 / max(np.linalg.norm(solved.A.T @ u, q), 1e-300))
        bound = (2 * u @ solved.r - u @ u) / len(y)
        assert bound <= mine * (1 + 1e-12)
        assert mine - bound <= 1e-5 * mine


@pytest.mark.parametrize("p", NORMS)
def test_a_large_penalty_leaves_the_proxy_as_it_is(p):
    z, y = problem(3)
    solved = Problem(z, y)
    np.testing.assert_array_equal(solved.solve(1e6, p), np.zeros(7))
    a, c = solved.terms(np.zeros(7))
    np.testing.assert_allclose([a, c], np.polyfit(z.sum(axis=1), y, 1))


@pytest.mark.parametrize("p", NORMS)
def test_no_penalty_is_least_squares(p):
    z, y = problem(4)
    solved = Problem(z, y)
    b = solved.solve(1e-9, p)
    a, c = solved.terms(b)
    X = np.column_stack([z, np.ones(len(y))])
    np.testing.assert_allclose(z @ (a + b) + c, X @ np.linalg.lstsq(X, y, rcond=None)[0], atol=1e-5)


def test_leave_one_out_of_the_ridge_path_is_that_of_refitting():
    z, y = problem(5)
    for solution in list(Problem(z, y).path(2))[1::8]:
        left_out = Problem(z, y).left_out(solution)
        for i in range(0, len(y), 5):
            rest = np.delete(np.arange(len(y)), i)
            part = Problem(z[rest], y[rest])
            # The same weight on the plain sum of squares, n mu.
            b = np.linalg.solve(part.A.T @ part.A + len(y) * solution.at * np.eye(7), part.A.T @ part.r)
            a, c = part.terms(b)
            assert left_out[i] == pytest.approx(y[i] - z[i] @ (a + b) - c, abs=1e-8)


@pytest.mark.parametrize("p", [1, math.inf])
def test_points_of_a_path_minimise_the_objective(p):
    z, y = problem(6)
    solved = Problem(z, y)
    for solution in list(solved.path(p))[4::6]:
        if p == 1:
            penalty = 2 * solution.at
        else:
            penalty = float(np.abs(2 / len(y) * (solved.A.T @ (solved.r - solved.A @ solution.b))).sum())
        if penalty > 1e-6:
            np.testing.assert_allclose(solution.b, solved.solve(penalty, p), atol=1e-6)


def test_independent_columns():
    X = np.random.default_rng(0).normal(size=(30, 4))
    wide = np.column_stack([X[:, 0], X[:, 0], X[:, 1], 2 * X[:, 0] - X[:, 1], np.zeros(30), X[:, 2:]])
    assert independent(wide) == [0, 2, 5, 6]


def test_rank_of_the_published_encoding(top):
    assert len(independent(top.encoding)) == 25


def test_only_three_norms():
    assert norm_of("inf") == norm_of(math.inf) == math.inf
    with pytest.raises(InputError, match="1, 2 or inf"):
        norm_of(3)
