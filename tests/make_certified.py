"""Made tests/data/{engel,stackloss,anes96,lbw,beetles,spector,star98,amounts}.json: others' data, and the answers to them.

    python tests/make_certified.py

needs statsmodels, which brings the data, and SciPy. Each file says where its rows come from, and what is published about them,
digit by digit as it was printed. Beside these stand the certified numbers, found here by methods that share nothing with
gdcore: logistic and multinomial coefficients by Newton's steps whose gradient is in extended precision, quantiles and least
squares by exact arithmetic on the decimal numbers. The rows of spector and star98 are not stored: their authors keep all
rights, and statsmodels has a permission of its own.
"""

import importlib.util
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.optimize import linprog

DATA = Path(__file__).parent / "data"
LONG = np.longdouble


def newton(X, counts):
    """The multinomial logit of ``counts`` (n, k), its first class the base: (d + 1, k − 1), the intercepts first.

    The columns are standardised and the gradient is summed in extended precision; a Hessian in double only slows the last
    steps down. They end where they change nothing more.
    """
    X, counts = X.astype(LONG), counts.astype(LONG)
    mean, sd = X.mean(axis=0), X.std(axis=0)
    A, totals, k = np.column_stack([np.ones(len(X)), (X - mean) / sd]), counts.sum(axis=1), counts.shape[1] - 1
    B = np.zeros((A.shape[1], k), LONG)
    smallest = np.inf
    for step in range(200):
        Z = np.column_stack([np.zeros(len(X)), A @ B])
        P = np.exp(Z - Z.max(axis=1, keepdims=True))
        P = (P / P.sum(axis=1, keepdims=True))[:, 1:]
        gradient = A.T @ (counts[:, 1:] - totals[:, None] * P)
        curvature = totals[:, None, None] * (P[:, :, None] * np.eye(k) - P[:, :, None] * P[:, None, :])
        H = np.einsum("na,nij,nb->aibj", A, curvature, A).reshape(B.size, B.size).astype(float)
        change = np.linalg.solve(H, gradient.astype(float).ravel()).reshape(B.shape)
        size = float(np.max(np.abs(change)) / np.max(np.abs(B + change)))
        B += change
        if step > 8 and size >= smallest:
            break
        smallest = size
    assert smallest < 1e-16, f"Newton's last step is {smallest} of the coefficients"
    W = B[1:] / sd[:, None]
    return np.vstack([B[:1] - mean @ W, W]).astype(float)


def solve(A, b):
    """The exact solution of a square system of fractions."""
    rows = [[*row, value] for row, value in zip(A, b, strict=True)]
    for i in range(len(rows)):
        pivot = next(r for r in range(i, len(rows)) if rows[r][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for r in range(len(rows)):
            if r != i and rows[r][i]:
                factor = rows[r][i]
                rows[r] = [value - factor * other for value, other in zip(rows[r], rows[i], strict=True)]
    return [row[-1] for row in rows]


def quantile(X, y, tau):
    """The τ-quantile regression of y, exactly, and proved: [intercept, *coefficients].

    A linear program names the rows that the hyperplane goes through; their exact solution is the best, and the only one,
    if the multipliers of these rows lie strictly between those of rows above and below.
    """
    n, tau = len(X), Fraction(str(tau))
    A = np.column_stack([np.ones(n), X.astype(float)])
    found = linprog(
        np.concatenate([np.zeros(A.shape[1]), np.full(n, float(tau)), np.full(n, 1 - float(tau))]),
        A_eq=np.hstack([A, np.eye(n), -np.eye(n)]), b_eq=y.astype(float),
        bounds=[(None, None)] * A.shape[1] + [(0, None)] * 2 * n,
    )  # fmt: skip
    distance = np.abs(y.astype(float) - A @ found.x[: A.shape[1]])
    exact = [[Fraction(1), *(Fraction(str(value)) for value in row)] for row in X]
    Y = [Fraction(str(value)) for value in y]
    rows = np.argsort(distance)[: A.shape[1]]
    best = solve([exact[i] for i in rows], [Y[i] for i in rows])
    residuals = [value - sum(a * b for a, b in zip(row, best, strict=True)) for row, value in zip(exact, Y, strict=True)]
    others = [i for i in range(n) if i not in rows]
    assert all(residuals[i] for i in others), "the hyperplane goes through more rows than it has coefficients"
    slopes = [tau if residuals[i] > 0 else tau - 1 for i in others]
    pull = [-sum(s * exact[i][j] for s, i in zip(slopes, others, strict=True)) for j in range(A.shape[1])]
    multipliers = solve([[exact[i][j] for i in rows] for j in range(A.shape[1])], pull)
    assert all(tau - 1 < m < tau for m in multipliers), "another hyperplane is as good"
    return [float(b) for b in best]


def least_squares(X, y):
    A = [[Fraction(1), *(Fraction(str(value)) for value in row)] for row in X]
    Y, d = [Fraction(str(value)) for value in y], len(A[0])
    gram = [[sum(row[i] * row[j] for row in A) for j in range(d)] for i in range(d)]
    return [float(b) for b in solve(gram, [sum(row[i] * value for row, value in zip(A, Y, strict=True)) for i in range(d)])]


def huber(X, y, delta):
    """The best huber loss, exactly: within δ the normal equations hold, and the rows beyond pull with ±δ each."""
    A, Y, d = (
        [[Fraction(1), *(Fraction(str(value)) for value in row)] for row in X],
        [Fraction(str(value)) for value in y],
        X.shape[1] + 1,
    )
    best = [Fraction(b).limit_denominator(10**6) for b in least_squares(X, y)]
    for _ in range(100):
        residuals = [value - sum(a * b for a, b in zip(row, best, strict=True)) for row, value in zip(A, Y, strict=True)]
        inside = [abs(r) <= delta for r in residuals]
        pull = [0 if near else delta if r > 0 else -delta for r, near in zip(residuals, inside, strict=True)]
        gram = [
            [sum(row[i] * row[j] for row, near in zip(A, inside, strict=True) if near) for j in range(d)] for i in range(d)
        ]
        right = [
            sum(row[i] * (value if near else p) for row, value, near, p in zip(A, Y, inside, pull, strict=True))
            for i in range(d)
        ]
        before, best = best, solve(gram, right)
        if best == before:
            return [float(b) for b in best]
    raise AssertionError("the rows within δ do not settle")


def write(name, facts, columns=None, rows=None):
    """One line for each fact and each row, so that people can read it."""
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in facts.items()]
    if rows is not None:
        lines.append(f'"columns": {json.dumps(columns)}')
        lines.append('"rows": [\n' + ",\n".join("[" + ", ".join(map(str, row)) + "]" for row in rows) + "\n]")
    (DATA / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def decimals(frame):
    """The numbers as their shortest text: 182, not 182.0."""
    return [[int(value) if float(value).is_integer() else float(value) for value in row] for row in frame.to_numpy()]


def engel():
    rows = decimals(sm.datasets.engel.load_pandas().data)
    X, y = np.array(rows, dtype=object)[:, :1], np.array(rows, dtype=object)[:, 1]
    taus = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]
    facts = {
        "what": "food by income of 235 households; regressions [intercept, slope] by τ, of the mean, and with huber's δ",
        "source": "Engel (1857); Koenker and Bassett (1982), Econometrica 50, 43-61; public domain, as statsmodels has it",
        "published_by": "R's quantreg, rq(foodexp ~ income), as its vignette prints it; lm for the mean",
        "published": {
            "0.05": ["124.88004", "0.34336"],
            "0.25": ["95.48354", "0.47410"],
            "0.5": ["81.4822474", "0.5601806"],
            "0.75": ["62.39659", "0.64401"],
            "0.95": ["64.10396", "0.70907"],
            "mean": ["147.4754", "0.4851784"],
        },
        "certified_by": "exact arithmetic, proved by the multipliers of the linear program",
        "certified": {
            **{str(tau): quantile(X, y, tau) for tau in taus},
            "mean": least_squares(X, y),
            "huber 50": huber(X, y, 50),
        },
    }
    write("engel", facts, ["income", "foodexp"], rows)


def stackloss():
    data = sm.datasets.stackloss.load_pandas().data
    rows = decimals(data)
    X, y = np.array(rows, dtype=object)[:, 1:], np.array(rows, dtype=object)[:, 0]
    facts = {
        "what": "a plant's loss of ammonia on 21 days; regressions [intercept, *slopes] by τ, of the mean, and with huber's δ",
        "source": "Brownlee (1965), Statistical Theory and Methodology; public domain, as statsmodels has it",
        "published_by": "R: L1pack's lad and quantreg's rq(stack.loss ~ stack.x); lm for the mean",
        "published": {
            "0.5": ["-39.68985507", "0.83188406", "0.57391304", "-0.06086957"],
            "mean": ["-39.9197", "0.7156", "1.2953", "-0.1521"],
        },
        "certified_by": "exact arithmetic, proved by the multipliers of the linear program",
        "certified": {"0.5": quantile(X, y, 0.5), "mean": least_squares(X, y), "huber 2": huber(X, y, 2)},
    }
    write("stackloss", facts, list(data.columns.str.lower()), rows)


def anes96():
    data = sm.datasets.anes96.load_pandas().data
    frame = data[["popul", "selfLR", "age", "educ", "income", "PID"]]
    X = frame.to_numpy()[:, :-1].copy()
    X[:, 0] = np.log(X[:, 0] + 0.1)
    counts = frame["PID"].to_numpy()[:, None] == np.arange(7)
    facts = {
        "what": "party (0 to 6) of 944 voters; multinomial logit: a row a party 1 to 6 against 0: [*slopes, intercept]",
        "design": "log(popul + 0.1), selfLR, age, educ, income",
        "source": "American National Election Study 1996; public domain, as statsmodels has it",
        "published_by": "Stata 11, mlogit with base 0 (checked with R's nnet by statsmodels, which prints it in its tests)",
        "published": [
            ["-.01153598", ".29771435", "-.024945", ".08249144", ".00519655", "-.37340167"],
            ["-.08875065", ".39166864", "-.02289784", ".18104276", ".04787398", "-2.2509132"],
            ["-.1059667", ".57345051", "-.01485121", "-.00715242", ".05757516", "-3.6655835"],
            ["-.0915567", "1.2787718", "-.00868135", ".19982796", ".08449838", "-7.6138431"],
            ["-.0932846", "1.3469616", "-.01790407", ".21693885", ".08095841", "-7.0604782"],
            ["-.14088069", "2.0700801", "-.00943265", ".3219257", ".10889408", "-12.105751"],
        ],
        "published_log_likelihood": "-1461.922747",
        "certified_by": "Newton's steps with a gradient in extended precision",
        "certified": np.roll(newton(X, counts), -1, axis=0).T.tolist(),
    }
    write("anes96", facts, list(frame.columns), decimals(frame))


def lbw():
    folder = Path(importlib.util.find_spec("statsmodels").submodule_search_locations[0], "genmod", "tests", "results")
    data = pd.read_csv(folder / "stata_lbw_glm.csv")
    data["black"], data["other"] = (data.race == "black").astype(int), (data.race == "other").astype(int)
    frame = data[["age", "lwt", "black", "other", "smoke", "ptl", "ht", "ui", "low"]]
    X, low = frame.to_numpy()[:, :-1], frame["low"].to_numpy()
    facts = {
        "what": "low weight at birth of 189 children; logit: [*slopes, intercept]",
        "source": "Hosmer and Lemeshow (1989), Applied Logistic Regression; Stata's lbw, R's MASS::birthwt",
        "published_by": "Stata, glm with family(binomial), as statsmodels prints it in its tests",
        "published": [
            "-.02710031", "-.01515082", "1.26264728", ".86207916", ".92334482", ".54183656", "1.83251780", ".75851348",
            ".46122388",
        ],
        "published_log_likelihood": "-100.7239955662511",
        "certified_by": "Newton's steps with a gradient in extended precision",
        "certified": np.roll(newton(X, low[:, None] == np.arange(2)), -1, axis=0)[:, 0].tolist(),
    }  # fmt: skip
    write("lbw", facts, list(frame.columns), decimals(frame))


def beetles():
    rows = [
        [1.6907, 6, 59], [1.7242, 13, 60], [1.7552, 18, 62], [1.7842, 28, 56],
        [1.8113, 52, 63], [1.8369, 53, 59], [1.8610, 61, 62], [1.8839, 60, 60],
    ]  # fmt: skip
    table = np.array(rows)
    counts = np.column_stack([table[:, 2] - table[:, 1], table[:, 1]])
    facts = {
        "what": "beetles killed by eight doses of carbon disulphide; logit of the proportions: [slope, intercept]",
        "source": "Bliss (1935), Annals of Applied Biology 22, 134-167",
        "published_by": "Dobson, An Introduction to Generalized Linear Models, the logistic model of the beetle data",
        "published": ["34.270", "-60.717"],
        "certified_by": "Newton's steps with a gradient in extended precision",
        "certified": np.roll(newton(table[:, :1], counts), -1).ravel().tolist(),
    }
    write("beetles", facts, ["dose", "killed", "beetles"], rows)


def spector():
    data = sm.datasets.spector.load_pandas()
    counts = data.endog.to_numpy()[:, None] == np.arange(2)
    facts = {
        "what": "grades of 32 students by GPA, TUCE, PSI; logit: [*slopes, intercept]",
        "source": "Spector and Mazzeo (1980), Journal of Economic Education 11, 37-44; rows: statsmodels.datasets.spector",
        "published_by": "Stata 11, logit, the digits of its table; those that it stores beyond 7 are not the best's",
        "published": ["2.826113", ".0951577", "2.378688", "-13.02135"],
        "certified_by": "Newton's steps with a gradient in extended precision",
        "certified": np.roll(newton(data.exog.to_numpy(), counts), -1).ravel().tolist(),
    }
    write("spector", facts)


def star98():
    data = sm.datasets.star98.load_pandas()
    counts = data.endog.to_numpy()[:, ::-1]
    facts = {
        "what": "pupils above the median in 303 districts, by 20 columns; logit of the proportions: [*slopes, intercept]",
        "source": "Gill, Generalized Linear Models: A Unified Approach; rows: statsmodels.datasets.star98",
        "published_by": "R, glm with binomial, as statsmodels prints it in its tests",
        "published": [
            "-0.0168150366", "0.0099254766", "-0.0187242148", "-0.0142385609", "0.2544871730", "0.2406936644", "0.0804086739",
            "-1.9521605027", "-0.3340864748", "-0.1690221685", "0.0049167021", "-0.0035799644", "-0.0140765648",
            "-0.0040049918", "-0.0039063958", "0.0917143006", "0.0489898381", "0.0080407389", "0.0002220095",
            "-0.0022492486", "2.9588779262",
        ],
        "certified_by": "Newton's steps with a gradient in extended precision",
        "certified": np.roll(newton(data.exog.to_numpy(), counts), -1).ravel().tolist(),
    }  # fmt: skip
    write("star98", facts)


def log_linear(X, y, s, power):
    """The generalised linear model with a log link and a variance of mean**power: [*slopes, intercept], and its deviance.

    Newton's steps with a gradient in extended precision, from the best constant.
    """
    X, y, s, p = X.astype(LONG), y.astype(LONG), s.astype(LONG), LONG(power)
    mean, sd = X.mean(axis=0), X.std(axis=0)
    A = np.column_stack([(X - mean) / sd, np.ones(len(X))])
    B = np.append(np.zeros(X.shape[1], LONG), np.log((s @ y) / s.sum()))
    smallest = np.inf
    for step in range(100):
        mu = np.exp(A @ B)
        gradient = A.T @ (s * (y - mu) * mu ** (1 - p))
        weight = s * mu ** (1 - p) * ((2 - p) * mu - (1 - p) * y)
        change = np.linalg.solve(((A * weight[:, None]).T @ A).astype(float), gradient.astype(float))
        size = float(np.max(np.abs(change)) / np.max(np.abs(B + change)))
        B = B + change
        if step > 8 and size >= smallest:
            break
        smallest = size
    assert smallest < 1e-16, f"Newton's last step is {smallest} of the coefficients"
    slopes = B[:-1] / sd
    return [*slopes.astype(float).tolist(), float(B[-1] - mean @ slopes)], deviance(y, np.exp(A @ B), s, p)


def deviance(y, mu, s, p):
    """Twice what the log-likelihood, but for the dispersion, lies below that of a mean of y in every row."""
    some = np.where(y > 0, y, 1)
    if p == 1:
        parts = np.where(y > 0, y * np.log(some / mu), 0) - (y - mu)
    elif p == 2:
        parts = -np.log(y / mu) + (y - mu) / mu
    else:
        parts = np.where(y > 0, y ** (2 - p), 0) / ((1 - p) * (2 - p)) - y * mu ** (1 - p) / (1 - p) + mu ** (2 - p) / (2 - p)
    return float(2 * (s @ parts))


def amounts():
    rng = np.random.default_rng(20)
    n = 80
    age, power, old = rng.integers(18, 80, n), rng.integers(4, 20, n) * 10.0, rng.integers(0, 2, n)
    rate = np.exp(0.8 - 0.02 * age + 0.004 * power + 0.5 * old)
    exposure, counts = np.round(rng.uniform(0.1, 1, n), 2), rng.poisson(rate)
    sizes = np.round(np.exp(rng.normal(6 + 0.01 * age - 0.002 * power, 0.8)), 1)
    claims = np.round(np.array([np.exp(rng.normal(6, 0.7, count)).sum() for count in counts]), 1)
    rows = np.column_stack([age, power, old, exposure, counts, sizes, claims])
    X, certified = rows[:, :3], {}
    for name, y, p in (
        ("poisson", counts, 1),
        ("gamma", sizes, 2),
        ("tweedie:1.5", claims, 1.5),
        ("tweedie:1.2", claims, 1.2),
    ):
        for weighted in (False, True):
            s = exposure if weighted else np.ones(n)
            found, left = log_linear(X, y, s, p)
            null = deviance(y.astype(LONG), np.full(n, (s @ y) / s.sum(), LONG), s.astype(LONG), LONG(p))
            key = name + (", weighted" if weighted else "")
            certified[key] = {"coefficients": found, "deviance": left, "null deviance": null}
            family = {1: sm.families.Poisson(), 2: sm.families.Gamma(sm.families.links.Log())}.get(
                p, sm.families.Tweedie(sm.families.links.Log(), var_power=p)
            )
            other = sm.GLM(y, sm.add_constant(X), family, var_weights=s).fit(tol=1e-14, maxiter=200)
            np.testing.assert_allclose(np.roll(other.params, -1), found, rtol=1e-9)
            np.testing.assert_allclose([other.deviance, other.null_deviance], [left, null], rtol=1e-9)
    facts = {
        "what": "80 made policies: counts, sizes and sums of claims by three columns: [*slopes, intercept], deviances",
        "source": "made by make_certified.py",
        "certified_by": "Newton's steps with a gradient in extended precision; statsmodels' GLM agrees to 1e-9",
        "certified": certified,
    }
    write("amounts", facts, ["age", "power", "old", "exposure", "counts", "sizes", "claims"], rows.tolist())


if __name__ == "__main__":
    for make in (engel, stackloss, anes96, lbw, beetles, spector, star98, amounts):
        make()
        print(make.__name__)
