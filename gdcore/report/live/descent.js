"use strict";

// Squared error of one column, ŷ = w·x + b, is a bowl over (w, b), and its descent is a formula:
//
//   loss = best + ½·δᵀHδ,   δ = (w, b) − (w*, b*),   H = 2·[[v + m², m], [m, 1]]
//
// m and v are the mean and the variance of x over all rows. Along an eigenvector of H with eigenvalue λ an epoch makes
//
//   u ← μ·u + lr·λ·δ,   δ ← δ − u        (μ the momentum; without it δ ← (1 − lr·λ)·δ)

// The column as the descent sees it, x′ = (x − shift)/scale, and the bowl over its w and b.
function bowl(column, centred, scaled) {
  const shift = centred ? column.mean : 0;
  const scale = scaled ? Math.sqrt(column.variance) : 1;
  const mean = centred ? 0 : column.mean / scale;
  const variance = scaled ? 1 : column.variance;
  const lowest = [column.slope * scale, column.level - column.slope * (column.mean - shift)];
  const start = [column.start[0] * scale, column.start[1] + column.start[0] * shift];
  const away = [start[0] - lowest[0], start[1] - lowest[1]];
  const [steep, flat] = directions(variance, mean).map(({ value, along }) => ({
    value, along, begun: along[0] * away[0] + along[1] * away[1],
  }));
  const excess = (steep.value * steep.begun ** 2 + flat.value * flat.begun ** 2) / 2;
  return { shift, scale, mean, variance, lowest, start, steep, flat, excess, best: column.best };
}

// Eigenvalues and eigenvectors of H, the steep direction first: one Jacobi rotation, and λmin = 4·v/λmax, which keeps its
// digits however flat it is.
function directions(variance, mean) {
  const a = variance + mean * mean;
  let tangent = 0;
  if (mean !== 0) {
    const tau = (1 - a) / (2 * mean);
    tangent = (tau < 0 ? -1 : 1) / (Math.abs(tau) + Math.hypot(1, tau));
  }
  const c = 1 / Math.hypot(1, tangent), s = tangent * c;
  const first = { value: 2 * (a - tangent * mean), along: [c, -s] };
  const second = { value: 2 * (1 + tangent * mean), along: [s, c] };
  const [steep, flat] = first.value >= second.value ? [first, second] : [second, first];
  return [steep, { value: (4 * variance) / steep.value, along: flat.along }];
}

// By what the error along one direction is multiplied in so many epochs; step is lr·λ.
function factor(step, momentum, epochs) {
  if (momentum === 0) {
    if (step < 1) return Math.exp(epochs * Math.log1p(-step));
    return (epochs % 2 ? -1 : 1) * (step - 1) ** epochs;
  }
  let power = [1, 0, 0, 1], square = [1 - step, -momentum, step, momentum];
  for (let left = epochs; left > 0; left = Math.floor(left / 2)) {
    if (left % 2) power = product(power, square);
    square = product(square, square);
  }
  return power[0];
}

function product([a, b, c, d], [e, f, g, h]) {
  return [a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h];
}

// Weight, bias and loss after so many epochs.
function after(bowl, lr, momentum, epochs) {
  const { steep, flat, lowest, start } = bowl;
  if (epochs === 0) return { epochs, weight: start[0], bias: start[1], excess: bowl.excess, loss: bowl.best + bowl.excess };
  const [x, z] = [steep, flat].map((way) => (way.begun === 0 ? 0 : way.begun * factor(lr * way.value, momentum, epochs)));
  const excess = (steep.value * x * x + flat.value * z * z) / 2;
  return {
    epochs, excess, loss: bowl.best + excess,
    weight: lowest[0] + steep.along[0] * x + flat.along[0] * z,
    bias: lowest[1] + steep.along[1] * x + flat.along[1] * z,
  };
}

// The learning rate from which on it diverges, and the best one: the steepest and the flattest direction shrink alike.
function limitOf(bowl, momentum) {
  return (2 * (1 + momentum)) / bowl.steep.value;
}

function bestOf(bowl, momentum) {
  return (2 * (1 + momentum)) / (bowl.steep.value + bowl.flat.value);
}

// ln of what an epoch in the long run makes of the error along one direction.
function logRate(step, momentum) {
  if (momentum === 0) return step < 1 ? Math.log1p(-step) : Math.log(step - 1);
  const trace = 1 + momentum - step, inside = trace * trace - 4 * momentum;
  return inside < 0 ? Math.log(momentum) / 2 : Math.log((Math.abs(trace) + Math.sqrt(inside)) / 2);
}

// Epochs until the error of the slowest direction is a thousandth: three digits; Infinity at the limit and past it.
function epochsFor3Digits(bowl, lr, momentum) {
  if (lr >= limitOf(bowl, momentum)) return Infinity;
  const slowest = Math.max(logRate(lr * bowl.steep.value, momentum), logRate(lr * bowl.flat.value, momentum));
  return slowest < 0 ? Math.max(1, Math.ceil(Math.log(1e-3) / slowest)) : Infinity;
}

// The numbers of the epochs that are drawn: each of the first, then ever sparser pairs, for a descent that swings takes two.
function drawnEpochs(last, dense = 2000, sparse = 150) {
  const epochs = [];
  for (let k = 0; k <= Math.min(last, dense); k++) epochs.push(k);
  for (let i = 1; last > dense && i <= sparse; i++) {
    const k = Math.round(dense * (last / dense) ** (i / sparse));
    if (k - 1 > epochs[epochs.length - 1]) epochs.push(k - 1);
    if (k > epochs[epochs.length - 1]) epochs.push(k);
  }
  return epochs;
}
