"""The loop with the shapes of its parts: what ``verbose="shapes"`` prints, forward above backward, before the first epoch.

A linear model is a network of one layer here. Every line of the backward pass has the shape of what it is the gradient of:
∂L/∂Ŷ that of Ŷ, ∇W that of W, ∇b that of b. Whoever keeps that in mind finds where a transpose goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gdcore.models.mlp import MLP
from gdcore.optimizers import SGD

if TYPE_CHECKING:
    from gdcore.descent.plan import Plan
    from gdcore.descent.problem import Problem

    Shape = tuple[int, ...]


class _Layer(NamedTuple):
    """A·W + b: how the parts are called, and the shapes of W and b."""

    number: str
    input: str
    output: str
    W: Shape
    b: Shape | None


class _Line(NamedTuple):
    part: str
    formula: str
    shapes: str


def lines(problem: Problem, plan: Plan) -> list[str]:
    """What is printed."""
    n, d = problem.n, problem.d
    rows = plan.batch_size or n
    told = [*_forward(problem, rows), *_backward(problem, rows), *_update(problem, plan)]
    width = max(len(line.formula) for line in told)
    of = f"a batch: {rows} of {n} rows" if plan.batches else f"an epoch: {rows} row{'s' if rows != 1 else ''}"
    out = [f"shapes in {of}, {d} column{'s' if d != 1 else ''}"]
    before = ""
    for line in told:
        out.append(f"{line.part if line.part != before else '':8}  {line.formula:{width}}  {line.shapes}")
        before = line.part
    if plan.method != "stream":
        out.append(f"the same epochs by another way: {plan.method}")
    return out


def _layers(problem: Problem) -> list[_Layer]:
    parts = problem.model.by_layer(*problem.model.parameters(problem.dtype))
    if not isinstance(parts, list):  # of a linear model, in the shapes that the caller knows: (d,) or (d, k)
        outputs, bias = problem.model.outputs, parts[1]
        return [_Layer("", "X", "Ŷ", (problem.d, *outputs), None if bias is None else outputs)]
    last = len(parts)
    return [
        _Layer(str(i), "X" if i == 1 else f"A{i - 1}", "Ŷ" if i == last else f"A{i}", W.shape, b.shape)
        for i, (W, b) in enumerate(parts, 1)
    ]


def _phi(problem: Problem) -> str:
    return problem.model.activation if isinstance(problem.model, MLP) else ""


def _forward(problem: Problem, m: int) -> list[_Line]:
    loss, layers, out = problem.loss_function, _layers(problem), []
    for i, layer in enumerate(layers):
        made = (m, *layer.W[1:])
        sum_ = f"{layer.input}·W{layer.number}" + ("" if layer.b is None else f" + b{layer.number}")
        shapes = f"{made} = {(m, layer.W[0])}·{layer.W}" + ("" if layer.b is None else f" + {layer.b}")
        hidden = i + 1 < len(layers)
        out.append(_Line("forward", f"{'Z' + layer.number if hidden else 'Ŷ'} = {sum_}", shapes))
        if hidden:
            out.append(_Line("forward", f"{layer.output} = {_phi(problem)}(Z{layer.number})", f"{made} = {made}"))
    made = (m, *layers[-1].W[1:])
    if loss.targets == "real":
        out.append(_Line("forward", "R = Ŷ − Y", f"{made} = {made} − {made}"))
    formula = loss.formula or loss.name
    what = formula if layers[-1].W[1:] else formula.removeprefix("Σ ")
    weighted = "mean" if problem.sample_weight is None else "weighted mean"
    more = " + penalties" if problem.l1 or problem.l2 else ""
    target = "" if loss.targets == "real" else f" and {(m,) if loss.targets == 'classes' else made}"
    out.append(_Line("forward", f"L = {weighted} of {what}{more}", f"() = mean over {m} rows of {made}{target}"))
    return out


def _backward(problem: Problem, m: int) -> list[_Line]:
    loss, layers = problem.loss_function, _layers(problem)
    made = (m, *layers[-1].W[1:])
    slope = f"({loss.derivative or f'slope of {loss.name}'})"
    if problem.sample_weight is None:
        out = [_Line("backward", f"∂L/∂Ŷ = {slope}/n", f"{made} = {made}/()")]
    else:
        out = [_Line("backward", f"∂L/∂Ŷ = {slope}·s/Σs", f"{made} = {made}·{(m, *[1] * (len(made) - 1))}/()")]
    for i, layer in reversed(list(enumerate(layers))):
        above = "∂L/∂Ŷ" if i + 1 == len(layers) else f"∂L/∂Z{layer.number}"
        made = (m, *layer.W[1:])
        l2 = f" + l2·W{layer.number}" if problem.l2 else ""
        out.append(
            _Line("backward", f"∇W{layer.number} = {layer.input}ᵀ·{above}{l2}", f"{layer.W} = {(layer.W[0], m)}·{made}")
        )
        if layer.b is not None:
            out.append(_Line("backward", f"∇b{layer.number} = Σ rows of {above}", f"{layer.b} = sum over {m} rows of {made}"))
        if i:
            down, below = (m, layer.W[0]), layers[i - 1]
            out.append(_Line("backward", f"∂L/∂{below.output} = {above}·W{layer.number}ᵀ", f"{down} = {made}·{layer.W[::-1]}"))
            slope = f"∂L/∂Z{below.number} = ∂L/∂{below.output} ∘ {_phi(problem)}'(Z{below.number})"
            out.append(_Line("backward", slope, f"{down} = {down} ∘ {down}"))
    return out


def _update(problem: Problem, plan: Plan) -> list[_Line]:
    plain = plan.optimizer == SGD() and not plan.preconditioned and not plan.newton
    out = []
    for layer in _layers(problem):
        for name, shape in (("W", layer.W), ("b", layer.b)):
            if shape is None:
                continue
            name += layer.number
            if plain:
                out.append(_Line("update", f"{name} = {name} − lr·∇{name}", f"{shape} = {shape} − ()·{shape}"))
            else:
                out.append(_Line("update", f"{name} = {name} − {plan.optimizer!r}'s step", f"{shape} = {shape} − {shape}"))
            if problem.l1 and name.startswith("W"):
                out.append(_Line("update", f"{name} = {name} shrunk by lr·l1", f"{shape} = {shape}"))
    return out
