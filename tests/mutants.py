"""Wrong backends, made on purpose: each must make a comparison in equivalence.py or formulas.py fail.

    python tests/mutants.py

builds all of them and prints which were noticed; test_mutation.py does the same. A mutant is the source of a backend in
which one expression stands replaced. The kernel is compiled once with all its mutants inside, with the flags that it ships
with, and `mutate(number)` says which of them runs; 0 is none, the kernel as it is.

    python tests/mutants.py --library [WORDS]

does the same for the mathematics above the backends: copies of the package in which one expression of a module stands
replaced, each of which must make the tests beside it fail. WORDS choose those whose names have them. test_mutation.py runs a
few of them.
"""

import ast
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

import equivalence
import formulas

from gdcore.backends import kernel, reference

KERNEL = Path(__file__).parent.parent / "gdcore" / "backends" / "kernel.pyx"
PACKAGE = Path(reference.__file__).parent.parent  # the installed one, where there is no source tree

CHECKS = {"equivalence": equivalence.check, **formulas.CHECKS}

# Where, and what is then replaced there: regular expressions in which a blank stands for any white space. The kernel's
# are whole expressions: the first group, or all of it. The reference's formulas stand in the files of losses and optimizers.
REFERENCE_MUTANTS = [
    ("losses/mse.py", r"return r \* r, 2 \* r\b", {"sign": (r"2 \*", "-2 *"), "factor 2": (r"2 \*", "")}),
    (
        "backends/reference.py",
        r"value, total\], np\.sum\(",
        {"sign of ∇b": (r"np\.", "-np."), "a factor in ∇b": (r"np\.", "2 * np.")},
    ),
    ("optimizers/sgd.py", r"else state\[ 0 \] parameters -= lr \* along", {"minus of the update": ("-=", "+=")}),
]


def within(function, expression, before=""):
    """An expression, behind ``before``, in the body of one of the kernel's functions: the first that looks like it."""
    return rf"\b{function}\((?:(?!\ncdef )[\s\S])*?{before}({expression})"


# By the check that must notice them.
KERNEL_MUTANTS = {
    "equivalence": [
        (
            r"\b2 \* s\[ q \] \* r\b",
            {"sign": (r"2 \*", "-2 *"), "factor 2": (r"2 \*", ""), "sample weight": (r"s\[ q \] \*", "")},
        ),
        (r"return < floating > \( (weight - lr \* gradient) \)", {"minus of the update": ("-", "+")}),
    ],
    "losses": [
        (within("mse", r"s\[ q \] \* r \* r"), {"mse: the square": (r"\* r \* r", "* r")}),
        (within("mae", r"r if r > 0 else -r"), {"mae: the absolute value": (r"-r", "r")}),
        (
            within("mae", r"s\[ q \] if r > h [^\n]*"),
            {
                "mae: the sign below": (r"-s", "s"),
                "mae: where the slope ends": (r"r > h", "r > 2 * h"),
                "mae: the smoothed slope": (r"\* steep", ""),
                "mae: its weight": (r"s\[ q \] \* r \* steep", "r * steep"),
            },
        ),
        (within("mae", r"1 / h if h > 0 else 0"), {"mae: the width": (r"1 / h", "2 / h")}),
        (
            within("huber", r"delta if r > delta [^\n]*"),
            {
                "huber: the sign below": (r"-delta if", "delta if"),
                "huber: where it turns": (r"r > delta", "r > 2 * delta"),
                "huber: where it turns below": (r"r < -delta", "r < -2 * delta"),
            },
        ),
        (
            within("huber", r"r - <floating>0\.5 \* clipped"),
            {"huber: the half": (r"<floating>0\.5 \*", ""), "huber: the minus": ("-", "+")},
        ),
        (within("huber", r"s\[ q \] \* clipped(?=\s*\n)"), {"huber: weight of the slope": (r"s\[ q \] \*", "")}),
        (
            within("quantile", r"\( 1 - tau \) \* r if r > 0 else -tau \* r"),
            {
                "quantile: τ above": (r"\( 1 - tau \)", "tau"),
                "quantile: τ below": (r"-tau", "-(1 - tau)"),
                "quantile: the sign below": (r"-tau", "tau"),
            },
        ),
        (
            within("quantile", r"s\[ q \] \* \( 1 - tau \) if r > h [^\n]*"),
            {
                "quantile: the slope above": (r"\( 1 - tau \)", "tau"),
                "quantile: the slope below": (r"-s\[ q \] \* tau", "-s[q] * (1 - tau)"),
                "quantile: its sign": (r"-s\[ q \] \* tau", "s[q] * tau"),
                "quantile: the middle": (r"\+ middle", ""),
                "quantile: the smoothed slope": (r"\* steep", ""),
            },
        ),
        (within("quantile", r"1 / \( 2 \* h \) if h > 0 else 0"), {"quantile: the width": (r"2 \* h", "h")}),
        (
            within("logistic", r"\( 1 - target \) \* x if x > 0 else -target \* x"),
            {
                "logistic: the value above": (r"1 - target", "target"),
                "logistic: the value below": (r"-target", "target"),
            },
        ),
        (within("logistic", r"log1p_unit\( e \)"), {"logistic: the logarithm": (r"log1p_unit\( e \)", "e")}),
        (
            within("logistic", r"s\[ q \] \* \( \( 1 - target \) [^\n]*"),
            {
                "logistic: the weight of the slope": (r"s\[ q \] \*", ""),
                "logistic: the slope above": (r"- target \* e", "+ target * e"),
                "logistic: the slope below": (r"e - target", "e + target"),
                "logistic: the quotient": (r"/ \( 1 \+ e \)", "/ (1 + e * e)"),
            },
        ),
        (within("softmax", r"v if [^\n]*v < top\[ q \] else top\[ q \]"), {"softmax: the largest": (r"v <", "v >")}),
        (within("softmax", r"log\( whole\[ q \] \) \+ top\[ q \]"), {"softmax: the value": (r"\+ top\[ q \]", "")}),
        (within("softmax", r"s\[ q \] / whole\[ q \]"), {"softmax: the weight of the slope": (r"s\[ q \] /", "1 /")}),
        (within("softmax", r"s\[ q \]", r"\* whole\[ q \] - "), {"softmax: the class itself": (r"s\[ q \]", "0")}),
        (within("poisson", r"mean - y\[ q \] \* x"), {"poisson: the value": (r"- y", "+ y")}),
        (within("poisson", r"s\[ q \] \* \( mean - y\[ q \] \)"), {"poisson: the weight of the slope": (r"s\[ q \] \*", "")}),
        (within("gamma", r"exponential\( -x \)"), {"gamma: the sign of the exponent": ("-x", "x")}),
        (within("gamma", r"ratio \+ x"), {"gamma: the value": (r"\+ x", "- x")}),
        (within("gamma", r"1 - ratio"), {"gamma: the slope": (r"1 -", "2 -")}),
        (within("tweedie", r"grows / a_ \+ falls / b_"), {"tweedie: the value": (r"/ a_", "/ b_")}),
        (within("tweedie", r"s\[ q \] \* \( grows - falls \)"), {"tweedie: the slope": (r"- falls", "+ falls")}),
        (within("tweedie", r"2 - power"), {"tweedie: the power": (r"2 - power", "1")}),
        (within("exponential", r"1\.0 / 120\b"), {"e^x: a term": ("120", "121")}),
        (within("exponential", r"1\.9082149292705877e-10"), {"e^x: the end of log 2": (r"1\.9082149292705877e-10", "1e-10")}),
        (within("log1p_unit", r"1\.0 / 9\b"), {"log(1 + e): a term": ("9", "10")}),
        (within("log1p_unit", r"e / \( 2 \+ e \)"), {"log(1 + e): its argument": (r"2 \+ e", "2 - e")}),
        (within("settle_", r"l2 / 2 \* squares"), {"l2 of the objective": (r"/ 2", "")}),
        (within("settle_", r"l1 \* size"), {"l1 of the objective": ("l1", "l2")}),
        (within("settle_", r"l2 \* w\[ j \]"), {"l2 of the gradient": (r"l2 \*", "l2 / 2 *")}),
        (within("norm_of", r"max\( fabs\( v \) - l1 , 0\.0 \)"), {"the norm at 0": ("- l1", "+ l1")}),
        (within("norm_of", r"l1 if w\[ j \] > 0 else -l1"), {"the norm's sign": ("-l1", "l1")}),
    ],
    "moments": [
        (within("gdcore_tile_of", r"a\[ i \] \* x\[ v \]"), {"a product": (r"a\[ i \]", "a[0]")}),
        (within("gdcore_tile_of", r"kept\[ i \]\[ j \](?=;)"), {"the edge of a tile": (r"\[ i \]", "[0]")}),
        (within("gdcore_tile_of", r"out \+ i \* step \+ v \* GDCORE_LANES"), {"where a tile lies": (r"i \* step", "step")}),
        (within("gdcore_squares", r"from - j"), {"tiles on the diagonal": ("from - j", "0")}),
        (within("gdcore_squares", r"end - from(?= \))"), {"the last column of a tile": ("end - from", "end - from - 1")}),
        (within("gdcore_sums", r"weights\[ r \](?= \*)"), {"the weight of a sum": (r"weights\[ r \]", "1")}),
        (within("gdcore_sums", r"whole(?=; r < rows)"), {"the last rows of a sum": ("whole", "whole + 1")}),
        (
            within("gdcore_pack_of_##number", r"scale\[ r \] \* \( v - away\[ q \] \)"),
            {"the shift": (r"- away\[ q \]", ""), "the weight of a product": (r"scale\[ r \] \*", "")},
        ),
        (within("gdcore_pack_of_##number", r"squares \+= v \* v"), {"the length of a row": (r"v \* v", "v")}),
        (
            within("gdcore_pack_of_##number", r"j >= q \* GDCORE_LANES && j < squared"),
            {"a column's square twice": (r"j >= q \* GDCORE_LANES &&", ""), "squares of Y": (r"&& j < squared", "")},
        ),
        (within("moments_chunk", r"sqrt\( s \)"), {"the root of the weight": (r"sqrt\( s \)", "s")}),
        (within("moments_chunk", r"s\b(?=\s*\n\s*root)", r"sums\[ 1 \] \+= "), {"the sum of the weights": ("s", "1")}),
        (within("moments_chunk", r"root\[ i \] > 0\b", "if "), {"rows without weight": (">", ">=")}),
        (within("add_sums", r"before\[ j \] \+ own\[ j \]"), {"the rows before": (r"before\[ j \] \+", "")}),
        (within("put_columns", r"x \+ i \* step \+ 2 \* column"), {"four columns at a time": (r"2 \* column", "column")}),
    ],
    "batches": [
        (within("forward1", r"q\[ j \] \* w\[ j \]"), {"one row: a product": (r"\* w\[ j \]", "")}),
        (
            within("steps_of_one", r"rate \* x\[ j \] \+ decay \* w\[ j \]"),
            {"one row: l2": (r"\+ decay", "- decay"), "one row: its step": (r"rate \*", "")},
        ),
        (within("steps_of_one", r"< floating > \( e\.lr / s \) \* raw\[ 0 \]"), {"one row: its weight": ("/ s", "* s")}),
        (within("steps_of_one", r"rate \* x\[ j \](?=\s*\n)"), {"one row: the gradient": (r"rate \*", "2 * rate *")}),
        (within("step_end", r"rate \* g\[ j \] \+ decay \* w\[ j \]"), {"batches: l2": (r"\+ decay", "- decay")}),
        (within("step_end", r"rate \* g\[ j \](?=\s*\n)"), {"batches: the bias": (r"rate \*", "2 * rate *")}),
        (within("step_end", r"g\[ j \] / total \+ e\.l2 \* w\[ j \]"), {"batches: l2 of a rule": ("e.l2", "2 * e.l2")}),
        (within("backward4", r"r0 \* p0[^\n]*(?=\n\s+else)"), {"batches: more rows": (r"r1 \* p1", "r1 * p0")}),
        (within("backward4", r"r0 \* p0[^\n]*", r"else:[^=]*= "), {"batches: the first rows": (r"r1 \* p1", "r1 * p0")}),
    ],
    "columns": [
        (within("add_columns", r"w0 \* x0\[ i \](?=\s*\n)"), {"one column: a product": (r"w0 \*", "")}),
        (within("add_columns", r"w0 \* x0\[ i \] \+ [^\n]*"), {"four columns: a product": ("w3", "w2")}),
        (within("dot_columns", r"r\[ i \] \* x0\[ i \](?=\s*\n\s+g)"), {"one column: a slope": (r"r\[ i \] \*", "")}),
        (within("dot_columns", r"r\[ i \] \* x2\[ i \]"), {"four columns: a slope": ("x2", "x1")}),
        (within("run_of", r"source \+ i \* t\.x_row"), {"columns: rows apart": (r"i \*", "(i + 1) * 0 *")}),
    ],
    "optimizers": [
        (within("follow", r"a \* s0\[ j \] \+ g if step > 1 else g"), {"momentum: its first step": ("> 1", "> 2")}),
        (within("follow", r"g \+ a \* v if flag else v"), {"Nesterov's momentum": (r"g \+ a \* v", "a * v")}),
        (within("follow", r"1 \+ \( step - 1 \) \* a"), {"adagrad: the decay": ("step - 1", "step")}),
        (within("follow", r"s0\[ j \] \+ g \* g"), {"adagrad: the sum": (r"g \* g", "g")}),
        (within("follow", r"rate \* g / \( sqrt\( v \) \+ eps \)"), {"adagrad: eps": (r"\+ eps", "")}),
        (within("follow", r"a \* s0\[ j \] \+ \( 1 - a \) \* g \* g"), {"rmsprop: α": (r"1 - a", "a")}),
        (within("follow", r"\( 1 - a \) \* \( g - s2\[ j \] \)"), {"rmsprop: the centre": ("1 - a", "a")}),
        (within("follow", r"g / \( sqrt\( v \) \+ eps \)", "m = "), {"rmsprop: eps": (r"\+ eps", "")}),
        (within("follow", r"v - m \* m"), {"rmsprop: the variance": (r"- m \* m", "")}),
        (within("follow", r"b \* s1\[ j \] \+ m\b"), {"rmsprop: momentum": (r"b \*", "")}),
        (within("follow", r"lr / \( 1 - pow\( a , step \) \)"), {"adam: the first moment's bias": ("step", "step + 1")}),
        (within("follow", r"sqrt\( 1 - pow\( b , step \) \)"), {"adam: the second moment's bias": ("step", "step + 1")}),
        (within("follow", r"\( 1 - a \) \* \( g - s0\[ j \] \)"), {"adam: β₁": ("1 - a", "a")}),
        (within("follow", r"b \* s1\[ j \] \+ \( 1 - b \) \* g \* g"), {"adam: β₂": ("1 - b", "b")}),
        (within("follow", r"sqrt\( v \) / root \+ eps"), {"adam: eps": (r"\+ eps", "")}),
        (within("follow", r"1 - lr \* rule\.decay"), {"adamw: the decay": ("-", "+")}),
        (within("shrink", r"fabs\( w\[ j \] \) - threshold"), {"l1: the threshold": ("-", "+")}),
        (within("shrink", r"v if w\[ j \] > 0 else -v"), {"l1: the sign": ("-v", "v")}),
        (within("rounded", r"rint\( value \* scale \)"), {"decimals": (r"value \* scale", "value * scale + 0.5")}),
    ],
}


class Wrong(NamedTuple):
    """A mutant of the library: an expression of one of its modules, what stands in its place, and the tests that notice."""

    name: str
    module: str
    pattern: str
    """Must be found exactly once in the module; a blank stands for any white space."""
    replacement: str
    tests: tuple[str, ...]
    """pytest's arguments, files relative to this folder."""
    quick: bool = False
    """Whether test_mutation.py runs it."""


MOMENTS = ("test_formulas.py", "-k", "library")
REGISTRY = ("test_registry.py",)
AMOUNTS = ("test_amounts.py",)
CURVATURES = ("test_spectrum.py", "-k", "curvature or eigenvalues or hessian")


def near(words):
    """Proofs at models that are not very far off."""
    return ("test_gaps.py", "-k", f"not far_off and ({words})")


def digits(words):
    return ("test_certified.py", "-k", words)


LIBRARY_MUTANTS = [
    Wrong("moments: the shift", "rows/moments.py", r"squares - np\.outer\( rest , first \)", "squares", MOMENTS, quick=True),
    Wrong("moments: the mean of two tables", "rows/moments.py", r"self\.mean \+ away \* share", "self.mean + away", MOMENTS),
    Wrong(
        "moments: the scatter of two tables",
        "rows/moments.py",
        r"squares \* \( self\.total \* share \)",
        "squares * share",
        MOMENTS,
    ),
    Wrong(
        "moments: the longest row",
        "rows/moments.py",
        r"max\( self\.largest_row , other\.largest_row \)",
        "self.largest_row",
        MOMENTS,
    ),
    Wrong(
        "moments: the covariance without a bias", "rows/moments.py", r"\+ np\.outer\( self\.mean , self\.mean \)", "", MOMENTS
    ),
    Wrong("moments: rows in blocks", "rows/moments.py", r"\( x - mean \) \*\* 2", "x**2", MOMENTS),
    Wrong(
        "spectrum: the limit",
        "facts/spectrum.py",
        r"return 2 / self\.most if",
        "return 1 / self.most if",
        ("test_spectrum.py", "-k", "limit"),
    ),
    Wrong(
        "spectrum: the best lr",
        "facts/spectrum.py",
        r"return 2 / both if",
        "return 1 / both if",
        ("test_spectrum.py", "-k", "epochs_to or shares"),
    ),
    Wrong(
        "spectrum: l2",
        "facts/spectrum.py",
        r"\+ self\.l2 \* np\.eye\( d \)",
        "",
        ("test_spectrum.py", "-k", "l2 or eigenvalues"),
    ),
    Wrong("logistic: the curvature", "losses/logistic.py", r"curvature = 0\.25", "curvature = 0.125", CURVATURES, quick=True),
    Wrong("softmax: the curvature", "losses/softmax.py", r"curvature = 0\.5", "curvature = 0.25", CURVATURES),
    Wrong("huber: the curvature", "losses/huber.py", r"curvature = 1\.0", "curvature = 0.5", CURVATURES),
    Wrong("mse: the curvature", "losses/mse.py", r"curvature = 2\.0", "curvature = 1.0", CURVATURES),
    Wrong(
        "proofs: mse",
        "losses/mse.py",
        r"\( \( raw - Y - dual\.alpha / 2 \) \*\* 2 \)",
        "((raw - Y - dual.alpha / 2) ** 2 / 4)",
        near("mse"),
    ),
    Wrong("proofs: huber", "losses/huber.py", r"\( a - r \) \*\* 2 / 2", "(a - r) ** 2 / 4", near("huber")),
    Wrong("proofs: huber past δ", "losses/huber.py", r"\( r - \( k \+ a \) / 2 \)", "(r - (k + a) / 2) / 4", near("huber")),
    Wrong(
        "proofs: mae and quantile",
        "losses/kinked.py",
        r"\( side - dual\.alpha \) \* r",
        "(side - dual.alpha) * r / 4",
        near("mae or quantile"),
    ),
    Wrong(
        "proofs: logistic",
        "losses/logistic.py",
        r"\+ divergence\( rest , q , [^\n]*\)",
        "",
        near("logistic"),
    ),
    Wrong(
        "proofs: softmax",
        "losses/softmax.py",
        r"divergence\( mine , e / whole , raw - \( top \+ np\.log\( whole \) \) \)\.sum\( axis=1 \)",
        "divergence(mine, e / whole, raw - (top + np.log(whole))).sum(axis=1) / 4",
        near("softmax"),
    ),
    Wrong(
        "proofs: the divergence",
        "losses/probabilities.py",
        r"u \* u \* \( 0\.5",
        "u * u * (0.125",
        near("logistic or softmax"),
    ),
    Wrong(
        "proofs: l2",
        "penalty.py",
        r"\( l2 \* W - shrunk \) \*\* 2 / \( 2 \* l2 \)",
        "(l2 * W - shrunk) ** 2 / (8 * l2)",
        near("l2"),
    ),
    Wrong(
        "proofs: l1",
        "penalty.py",
        r"\( l1 \* np\.abs\( W \) - W \* \( v - shrunk \) \)",
        "0.0",
        near("l1"),
    ),
    Wrong(
        "proofs: the domain",
        "losses/duals.py",
        r"np\.where\( alpha > high , high / alpha , ",
        "np.where(alpha > high, 1.0, ",
        near("mae or quantile or huber"),
    ),
    Wrong(
        "proofs: probabilities",
        "losses/logistic.py",
        r"min\( ones\.min\( initial=0\.0 \) , zeros\.min\( initial=0\.0 \) \) >= 0",
        "True",
        near("logistic"),
    ),
    Wrong(
        "proofs: mse by its metric",
        "facts/gap.py",
        r"return max\( total , 0\.0 \) / 2",
        "return max(total, 0.0) / 4",
        near("mse"),
    ),
    Wrong("second derivative: logistic", "losses/logistic.py", r"= e / \( 1 \+ e \) \*\* 2", "= e / (1 + e)", digits("logit")),
    Wrong(
        "second derivative: softmax",
        "losses/softmax.py",
        r"if a == b else p\[ : , b \]",
        "if a == b else 0 * p[:, b]",
        near("softmax"),
    ),
    Wrong("conjugate: mse", "losses/mse.py", r"u \* u / 4", "u * u / 2", REGISTRY),
    Wrong("conjugate: huber", "losses/huber.py", r"u \* u / 2 \+ u \* Y", "u * u + u * Y", REGISTRY),
    Wrong("conjugate: mae and quantile", "losses/kinked.py", r"u \* Y , np\.inf", "0 * u, np.inf", REGISTRY),
    Wrong("conjugate: its domain", "losses/kinked.py", r"\( low <= u \) & \( u <= high \)", "u <= high", REGISTRY),
    Wrong("conjugate: poisson", "losses/poisson.py", r"entropy\( u \+ Y \) - \( u \+ Y \)", "entropy(u + Y) - u", REGISTRY),
    Wrong("conjugate: gamma", "losses/gamma.py", r"\( 1 \+ np\.log\( Y \) \)", "np.log(Y)", REGISTRY),
    Wrong("excess: tweedie", "losses/tweedie.py", r"_beyond_line\( -b \* away \)", "_beyond_line(b * away)", REGISTRY),
    Wrong(
        "proofs: amounts",
        "losses/poisson.py",
        r"np\.exp\( raw \) , raw \)\.sum\( axis=1 \)",
        "np.exp(raw), raw).sum(axis=1) / 8",
        AMOUNTS,
    ),
    Wrong("amounts: where to look first", "solvers/amounts.py", r"loss\.link\( means \)", "loss.link(2 * means)", AMOUNTS),
    Wrong("conjugate: logistic", "losses/logistic.py", r"\+ entropy\( 1 - Y - u \)", "", REGISTRY),
    Wrong("conjugate: softmax", "losses/softmax.py", r"np\.arange\( u\.shape\[ 1 \] \) == Y", "0 * Y", REGISTRY),
    Wrong("excess: in general", "losses/base.py", r"- dual\.alpha \* raw", "dual.alpha * raw", REGISTRY),
    Wrong("mixed slopes: huber", "losses/huber.py", r"\+ mix\.share \* mix\.other", "", REGISTRY),
    Wrong("mixed slopes: logistic", "losses/logistic.py", r"\( 1 - mix\.other - q \)", "(mix.other - q)", REGISTRY),
    Wrong("mixed slopes: softmax", "losses/softmax.py", r"other / other\.sum\( \)", "other / 2", REGISTRY),
    Wrong("smoothing: mae and quantile", "losses/kinked.py", r"self\.bound\( width \) / 2", "self.bound(width)", REGISTRY),
    Wrong("smoothing: huber", "losses/huber.py", r"self\.delta / wide \) \* near", "1.0) * near", REGISTRY),
    Wrong("scaled targets: huber", "losses/huber.py", r"Huber\( self\.delta / size \)", "Huber(self.delta)", REGISTRY),
    Wrong("Hessian: l2", "facts/curvature.py", r"\+= self\.penalty\.l2", "+= 2 * self.penalty.l2", digits("glmnet")),
    Wrong("Hessian: between classes", "facts/curvature.py", r"counted if a == b else -counted", "counted", near("softmax")),
    Wrong("gradient: l2", "facts/curvature.py", r"gradient \+ frame\.penalty\.l2 \* W", "gradient", near("l2")),
    Wrong(
        "gradient: about the means",
        "facts/curvature.py",
        r"gradient - np\.outer\( self\.mean , bias_gradient \)",
        "gradient",
        near("bias"),
    ),
    Wrong("step: the bias", "facts/curvature.py", r"delta\[ : , -1 \] - self\.mean @ w", "delta[:, -1]", near("bias")),
    Wrong("lasso: the sign", "facts/lasso.py", r"still - l1 \* signs", "still + l1 * signs", near("l1")),
    Wrong(
        "stop: tol",
        "solvers/ends.py",
        r"done = gain <= enough and",
        "done = gain <= 1e6 * enough and",
        digits("logit or multinomial"),
    ),
    Wrong("step: any is taken", "solvers/newton.py", r"fall >= _SHARE \* gain", "True", digits("logit or multinomial")),
    Wrong(
        "quadratic: the bias",
        "facts/quadratic.py",
        r"level \+ rest / total - mean @ self\.weights",
        "level + rest / total",
        near("mse"),
    ),
    Wrong("metric: about the means", "facts/metric.py", r"self\.about_means\( g , gb \)", "g", near("mse")),
]

MUTATE = """

cdef extern from "vectors.h":
    int gdcore_mutant

cdef int mutant = 0


def mutate(int number):
    global mutant, gdcore_mutant
    mutant = gdcore_mutant = number
"""
DIRECTIVES = ("boundscheck=False", "wraparound=False", "initializedcheck=False", "cdivision=True", "binding=True")


def spaced(pattern):
    return pattern.replace(" ", r"\s*")


def find(pattern, sources):
    """The one place in ``sources``, texts by name, that looks like ``pattern``: a name and a match."""
    found = [(name, match) for name, text in sources.items() for match in re.finditer(spaced(pattern), text)]
    if len(found) != 1:
        raise LookupError(f"{len(found)} places look like {pattern!r}, not 1: the source has changed, change the table too")
    return found[0]


def mutated(expression, replacement):
    text, count = re.subn(spaced(replacement[0]), replacement[1], expression, count=1)
    assert count == 1, f"there is no {replacement[0]!r} in {expression!r}"
    return text


def put(text, place, expression):
    group = place.re.groups  # 0 is all of it
    return text[: place.start(group)] + expression + text[place.end(group) :]


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reference_mutants(folder):
    """The reference as it is and its mutants, as modules: {what is wrong: module}."""
    own = "backends/reference.py"
    whole = (PACKAGE / own).read_text()
    sources = {"nothing": (own, whole)}
    for file, pattern, mutants in REFERENCE_MUTANTS:
        source = (PACKAGE / file).read_text()
        _, place = find(pattern, {file: source})
        sources |= {name: (file, put(source, place, mutated(place[0], mutant))) for name, mutant in mutants.items()}
    modules = {}
    for number, (name, (file, text)) in enumerate(sources.items()):
        paths = [Path(folder) / f"{stem}_{number}.py" for stem in ("reference", "formula")]
        for path, written in zip(paths, (text if file == own else whole, text), strict=True):
            path.write_text(written)
        modules[name] = load(paths[0], paths[0].stem)
        if file != own:  # the reference finds its formulas by their names
            formulas_of = vars(load(paths[1], paths[1].stem)).values()
            made = {kind.__name__.lower(): kind for kind in formulas_of if getattr(kind, "__module__", "") == paths[1].stem}
            modules[name].LOSSES, modules[name].OPTIMIZERS = reference.LOSSES | made, reference.OPTIMIZERS | made
    return modules


def why_no_kernel():
    """Why the kernel's mutants cannot be built here, or None if they can."""
    if not KERNEL.exists():
        return "these tests do not lie beside gdcore's source"
    if importlib.util.find_spec("Cython") is None:
        return "Cython is not installed"
    if not shutil.which(linker()[0]):
        return f"there is no C compiler {linker()[0]}"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "Python's headers are not installed"
    return None


def linker():
    return shlex.split(sysconfig.get_config_var("LDSHARED") or "cc -shared")


def kernel_sources(name=KERNEL.name):
    """The kernel's source and the files it includes, without their comments, in which formulas stand too: {name: text}."""
    text = re.sub(r"(^|[ \t]+)#( .*)?$|/\*[\s\S]*?\*/", "", (KERNEL.parent / name).read_text(), flags=re.MULTILINE)
    sources = {name: text}
    for included in re.findall(r"""^\s*(?:include|cdef extern from)\s+["'](.+?)["']""", text, re.MULTILINE):
        sources |= kernel_sources(included)
    return sources


def kernel_names():
    """The kernel's mutants in the order of their numbers, from 1 on: (check, what is wrong)."""
    return [(check, name) for check, table in KERNEL_MUTANTS.items() for _, mutants in table for name in mutants]


def shipped_flags():
    """What setup.py compiles the running variant with."""
    setup = ast.parse((KERNEL.parent.parent.parent / "setup.py").read_text())
    known = {node.targets[0].id: node.value for node in setup.body if isinstance(node, ast.Assign)}
    variant = "kernel" if kernel.variant() == "baseline" else f"kernel_{kernel.variant()}"
    return [*ast.literal_eval(known["OPTIMISE"]), *ast.literal_eval(known["VARIANTS"])[variant]]


def kernel_mutants(folder):
    """The kernel compiled with its mutants inside."""
    sources, names = kernel_sources(), []
    for pattern, mutants in [row for table in KERNEL_MUTANTS.values() for row in table]:
        file, place = find(pattern, sources)
        original = expression = place[place.re.groups]
        for name, mutant in mutants.items():
            names.append(name)
            wrong = mutated(original, mutant)
            if file.endswith(".h"):
                expression = f"(gdcore_mutant == {len(names)} ? ({wrong}) : ({expression}))"
            else:
                expression = f"(({wrong}) if mutant == {len(names)} else ({expression}))"
        sources[file] = put(sources[file], place, expression)
    sources["vectors.h"] = sources["vectors.h"].replace(
        "#include <stddef.h>", "#include <stddef.h>\nstatic int gdcore_mutant;"
    )
    sources[KERNEL.name] += MUTATE
    for file, text in sources.items():
        (Path(folder) / file).write_text(text)
    options = [option for directive in DIRECTIVES for option in ("-X", directive)]
    run([sys.executable, "-m", "cython", "-3", *options, KERNEL.name], folder)
    built = Path(folder) / ("kernel" + sysconfig.get_config_var("EXT_SUFFIX"))
    include = "-I" + sysconfig.get_path("include")
    run([*linker(), *shipped_flags(), "-w", "-fPIC", "-pthread", include, "kernel.c", "-lm", "-o", built.name], folder)
    return load(built, "kernel")


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def noticed(backend, check="equivalence"):
    """What a comparison that fails says, or None."""
    try:
        CHECKS[check](backend)
    except AssertionError as error:
        return str(error)
    return None


def library_copy(folder):
    """A copy of the package as it stands, its compiled kernels with it."""
    return Path(shutil.copytree(PACKAGE, Path(folder) / "gdcore", ignore=shutil.ignore_patterns("__pycache__", "*.c")))


def tests_fail(copy, tests):
    """Whether the tests fail on a copy of the package; that they run at all, and on the copy, is made sure of."""
    environment = {**os.environ, "PYTHONPATH": str(copy.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    where = [str(Path(__file__).parent / test) if test.endswith(".py") else test for test in tests]
    here = f"assert gdcore.__path__ == [{str(copy)!r}], gdcore.__path__"
    program = f"import sys, gdcore, pytest; {here}; sys.exit(10 + pytest.main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "-q", "-x", "-p", "no:cacheprovider", "--numprocesses=0", *where]
    try:
        done = subprocess.run(command, cwd=copy.parent, env=environment, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        return True
    if done.returncode not in (10, 11):  # 15: no test was found; 1: no tests were run
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.returncode == 11


def library_noticed(wrong, copy):
    """Whether the tests of a mutant of the library fail on it; the copy is then as it was."""
    path = copy / wrong.module
    source = path.read_text()
    _, place = find(wrong.pattern, {wrong.module: source})
    mutant = source[: place.start()] + wrong.replacement + source[place.end() :]
    compile(mutant, str(path), "exec")
    path.write_text(mutant)
    try:
        return tests_fail(copy, wrong.tests)
    finally:
        path.write_text(source)


def main_library(words):
    chosen = [wrong for wrong in LIBRARY_MUTANTS if all(word in wrong.name for word in words)]
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = library_copy(folder)
        for tests in dict.fromkeys(wrong.tests for wrong in chosen):
            failed = tests_fail(copy, tests)
            bad += failed
            print(f"nothing, {' '.join(tests)}: {'fails' if failed else 'passes'}", flush=True)
        for wrong in chosen:
            found = library_noticed(wrong, copy)
            bad += not found
            print(f"{wrong.name}: {'noticed' if found else 'passes'}", flush=True)
    print(f"{len(chosen)} mutants, {bad} not as they should be")
    return 1 if bad else 0


def main():
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        cases = [(f"reference, {name}", module, None, "equivalence") for name, module in reference_mutants(folder).items()]
        reason = why_no_kernel()
        if reason:
            print("no mutants of the kernel:", reason)
        else:
            module = kernel_mutants(folder)
            cases += [(f"kernel, {check}, nothing", module, 0, check) for check in CHECKS]
            cases += [(f"kernel, {name}", module, number, check) for number, (check, name) in enumerate(kernel_names(), 1)]
        for name, module, number, check in cases:
            if number is not None:
                module.mutate(number)
            found, healthy = noticed(module, check), name.endswith("nothing")
            wrong += (found is None) != healthy
            print(f"{name}: {found or 'passes'}")
    print(f"{len(cases)} cases, {wrong} not as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main_library(sys.argv[2:]) if sys.argv[1:2] == ["--library"] else main())
