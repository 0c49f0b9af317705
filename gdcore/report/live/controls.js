
// The page: what is set, what follows from it. Everything that is shown is a function of `state`, by formula.

const given = JSON.parse(document.getElementById("given").textContent);
const state = { column: 0, centred: false, scaled: false, lr: 0, momentum: 0, epochs: 10 };
const FINE = 0.005; // decades of the learning rate that the slider moves by
const MOST = 1e9; // epochs
const BLOWN_UP = 1e12; // times the loss of the start, where Play ends
const EVERY = 100; // milliseconds between two steps of Play
const BEGUN = 0.9; // of the limit: where the slider is at first
let timer = null, saying = null;

const the = (id) => document.getElementById(id);
const column = () => given.columns[state.column];
const current = () => bowl(column(), state.centred, state.scaled);
const position = (at) => after(at, state.lr, state.momentum, state.epochs);

// The learning rates that the slider has room for: those of the column as it is, centred, scaled and both, for they stay where
// they are while the limit moves.
function range() {
  const limits = [false, true].flatMap((a) => [false, true].map((b) => limitOf(bowl(column(), a, b), 0)));
  return [Math.min(...limits) / 100, Math.max(...limits) * 4];
}

function percent(share) {
  return `${written(100 * share, share > 0.999 && share < 1 ? 6 : 3)}\u00a0%`;
}

// What an epoch makes of the error along one direction, in words.
function fate(log, crosses) {
  const side = crosses ? "changes sides and " : "";
  return log > 0 ? `${side}grows by ${percent(Math.expm1(log))}` : `${side}shrinks by ${percent(-Math.expm1(log))}`;
}

function swings(step, momentum) {
  const trace = 1 + momentum - step;
  return trace < 0 || trace * trace < 4 * momentum;
}

// What happens, and why.
function story(at, now) {
  const { lr, momentum } = state, ratio = lr / limitOf(at, momentum), steps = [at.steep, at.flat].map((way) => lr * way.value);
  const [steep, flat] = steps.map((step) => logRate(step, momentum));
  const round = at.steep.value < 1.000001 * at.flat.value, needed = epochsFor3Digits(at, lr, momentum);
  const edge = Math.abs(ratio - 1) < 1e-9;
  let why;
  if (edge) why = "lr is at the limit: each step lands as high on the other side as it came from, and never gets down.";
  else if (ratio > 1) {
    why = momentum ? "lr is past the limit, though momentum has moved it up: each swing is wider than the last."
      : "lr is past the limit: each step overshoots by more than the last.";
    why += ` Along the steep direction the error ${fate(steep, !momentum)} an epoch.`;
  } else {
    why = ratio < 0.05 ? "lr is far below the limit: each step is short."
      : momentum ? `Momentum carries each step on: ${steps.some((step) => swings(step, momentum)) ? "the descent swings, and each swing is smaller." : "the descent is faster, and does not swing."}`
        : round && ratio === 0.5 ? "The bowl is round, and lr is the best: one step leads to the lowest point."
          : ratio > 0.5 ? "Each step overshoots the floor of the valley, and lands on the other side, but nearer to it."
            : "Each step goes down, and falls short of the floor of the valley.";
    const one = fate(steep, !momentum && ratio > 0.5);
    const ways = round ? ` In an epoch the error ${one}`
      : ` In an epoch the error along the steep direction ${one}, along the flat one it ${fate(flat, false)}`;
    why += `${ways}: three digits take ${counted(needed)} epoch${needed === 1 ? "" : "s"}.`;
  }
  return `${why} ${place(at, now)}`;
}

function place(at, now) {
  const epochs = `After ${counted(now.epochs)} epoch${now.epochs === 1 ? "" : "s"}`;
  if (!Number.isFinite(now.loss)) return `${epochs} the loss is past all numbers.`;
  return `${epochs} the loss is ${written(now.loss)}${arrived(at, now) ? ", as low as it gets." : `; it was ${written(at.best + at.excess)}, and ${written(at.best)} is the lowest there is.`}`;
}

function arrived(at, now) {
  return now.excess <= 1e-15 * at.excess;
}

function lost(at, now) {
  return !(now.loss <= BLOWN_UP * (at.best + at.excess));
}

// The column in words, as the descent sees it.
function seenAs(at, name) {
  const shift = at.shift < 0 ? `${name} + ${written(-at.shift)}` : `${name} − ${written(at.shift)}`;
  if (!state.centred) return state.scaled ? `${name} ÷ ${written(at.scale)}` : name;
  return state.scaled ? `(${shift}) ÷ ${written(at.scale)}` : shift;
}

function inPython(at) {
  const x = `${state.centred ? `(x - ${at.shift})` : "x"}${state.scaled ? ` / ${at.scale}` : ""}`;
  const moved = at.start.some((value) => value !== 0);
  const model = moved ? `, gdcore.Linear([${at.start[0]}], ${at.start[1]})` : "";
  const carried = state.momentum ? `, optimizer=gdcore.SGD(momentum=${state.momentum})` : "";
  const kept = state.lr >= limitOf(at, state.momentum) ? ', on_divergence="keep"' : "";
  return `gdcore.fit(${x}, y${model}, lr=${state.lr}, epochs=${state.epochs}${carried}${kept})`;
}

function showNumbers(at, now) {
  const limit = limitOf(at, state.momentum), needed = epochsFor3Digits(at, state.lr, state.momentum);
  const rows = [
    ["epoch", counted(now.epochs)], ["loss", written(now.loss, 6)], ["w", written(now.weight, 6)], ["b", written(now.bias, 6)],
    ["x", seenAs(at, shortened(column().name))], ["limit, 2/λmax", written(limit)], ["lr ÷ limit", written(state.lr / limit)],
    ["condition, λmax/λmin", written(at.steep.value / at.flat.value)],
    ["epochs for 3 digits", Number.isFinite(needed) ? counted(needed) : "never"],
  ];
  if (state.momentum) rows[5][0] = "limit, 2(1 + momentum)/λmax";
  if (state.centred || state.scaled) {
    const slope = now.weight / at.scale;
    rows.push(["w, b of the column as it is", `${written(slope, 6)}, ${written(now.bias - slope * at.shift, 6)}`]);
  }
  the("numbers").replaceChildren(...rows.map(([name, value]) => {
    const pair = document.createElement("div");
    for (const [tag, text] of [["dt", name], ["dd", value]]) pair.appendChild(document.createElement(tag)).textContent = text;
    return pair;
  }));
}

function showControls(at) {
  const limit = limitOf(at, state.momentum), best = bestOf(at, state.momentum), [low, high] = range(), slider = the("rate");
  const at10 = (value) => Math.log10(value / low) / Math.log10(high / low);
  slider.max = Math.round(Math.log10(high / low) / FINE);
  slider.value = Math.round(at10(state.lr) * slider.max);
  const side = state.lr > limit ? "past the limit: it diverges" : state.lr === limit ? "at the limit" : "below the limit";
  slider.setAttribute("aria-valuetext", `${written(state.lr)}, ${written(state.lr / limit, 3)} of the limit, ${side}`);
  drawMarks(the("marks"), (value) => Math.min(Math.max(at10(value), 0), 1), limit, best, `limit ${written(limit)}`);
  if (document.activeElement !== the("exact")) the("exact").value = String(Number(state.lr.toPrecision(6)));
  the("exact").removeAttribute("aria-invalid");
  the("centre").setAttribute("aria-pressed", state.centred);
  the("scale").setAttribute("aria-pressed", state.scaled);
  the("momentum").value = state.momentum;
  the("momentum-value").textContent = state.momentum;
  the("column").value = state.column;
  document.body.classList.toggle("past", state.lr > limit);
}

function show() {
  const at = current(), now = position(at), path = drawnEpochs(state.epochs).map((k) => after(at, state.lr, state.momentum, k));
  the("by").textContent = `${given.target} by ${column().name}`;
  showControls(at);
  showNumbers(at, now);
  const name = seenAs(at, shortened(column().name, 20));
  drawData(the("data"), column(), given.target, given.values, at, now);
  const left = drawSurface(the("surface"), at, path, [`w, the weight of ${name}`, "b, the bias"]);
  drawLoss(the("loss"), at, path);
  const told = story(at, now) + (left === null ? "" : ` The path has left the picture of the loss in epoch ${counted(left)}.`);
  the("what").textContent = told;
  the("data-told").textContent = `${given.target} against ${column().name}, ${given.values.length} rows, with the line of the start, the line after ${now.epochs} epochs and the best one.`;
  the("surface-told").textContent = `Lines of equal loss around w ${written(at.lowest[0])}, b ${written(at.lowest[1])}, and the path from w ${written(at.start[0])}, b ${written(at.start[1])} to w ${written(now.weight)}, b ${written(now.bias)}.`;
  the("loss-told").textContent = `The loss from ${written(at.best + at.excess)} at the start to ${written(now.loss)} in epoch ${now.epochs}, on a logarithmic scale.`;
  the("code").textContent = inPython(at);
  announce(told);
}

// To screen readers, once things are at rest: while a slider is drawn, or Play goes on, the next change comes before that.
function announce(told) {
  clearTimeout(saying);
  saying = setTimeout(() => { the("said").textContent = told; }, 7 * EVERY);
}

function play(on) {
  clearInterval(timer);
  timer = on ? setInterval(tick, EVERY) : null;
  the("play").textContent = on ? "Pause" : "Play";
}

function tick() {
  advance();
  const at = current(), now = position(at);
  if (arrived(at, now) || lost(at, now) || state.epochs >= MOST) {
    play(false);
    show();
  }
}

function advance() {
  change({ epochs: Math.min(state.epochs + Number(the("stride").value), MOST) });
}

function change(what) {
  Object.assign(state, what);
  show();
}

function choose(index) {
  Object.assign(state, { column: index });
  change({ lr: limitOf(current(), state.momentum) * BEGUN });
}

function typed() {
  const value = Number(the("exact").value.trim().replace(",", "."));
  if (Number.isFinite(value) && value > 0) change({ lr: value });
  else the("exact").setAttribute("aria-invalid", "true");
}

function begin() {
  given.columns.forEach(({ name }, index) => {
    const option = the("column").appendChild(document.createElement("option"));
    [option.textContent, option.value] = [shortened(name, 40), index];
  });
  the("choice").hidden = given.columns.length === 1;
  const drawn = given.values.length < given.rows ? `${counted(given.values.length)} of ${counted(given.rows)} rows are drawn; all of them count.` : `${counted(given.rows)} rows.`;
  const weighed = given.weighted ? " They have weights." : "", others = given.left ? ` ${counted(given.left)} more columns are left out: their lines tell less.` : "";
  the("about").textContent = `${drawn}${weighed}${others} loss = mean of (w·x + b − y)². Made with gdcore.`;
  const limit = () => limitOf(current(), state.momentum);
  const on = (id, event, what) => the(id).addEventListener(event, what);
  on("rate", "input", () => {
    const [low, high] = range();
    change({ lr: low * (high / low) ** (the("rate").value / the("rate").max) });
  });
  on("exact", "change", typed);
  on("small", "click", () => change({ lr: limit() / 10 }));
  on("best", "click", () => change({ lr: bestOf(current(), state.momentum) }));
  on("past", "click", () => change({ lr: limit() * 1.05 }));
  on("play", "click", () => {
    play(timer === null);
    if (timer === null) show();
  });
  on("step", "click", () => { play(false); advance(); });
  on("reset", "click", () => { play(false); change({ epochs: 0 }); });
  on("centre", "click", () => change({ centred: !state.centred }));
  on("scale", "click", () => change({ scaled: !state.scaled }));
  on("momentum", "input", () => change({ momentum: Number(the("momentum").value) }));
  on("column", "change", () => choose(Number(the("column").value)));
  window.addEventListener("resize", show);
  choose(0);
}

begin();
