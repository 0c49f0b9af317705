
// The three pictures, in SVG: what they draw is given as numbers, and colours are the style sheet's.

const ROOM = { left: 58, right: 18, top: 10, bottom: 44 };
const FAR = 20; // half widths of the picture, where a path that leaves it is cut

function made(tag, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// Numbers as people write them.
function written(value, digits = 4) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : value < 0 ? "−∞" : "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-5 || size >= 1e7)) {
    const [head, power] = value.toExponential(digits - 1).replace(/\.?0+e/, "e").split("e");
    return `${head.replace("-", "−")}·10${raised(Number(power))}`;
  }
  const options = { maximumSignificantDigits: size >= 10 ** digits ? Math.ceil(Math.log10(size)) + 1 : digits };
  return (size >= 10 ** digits ? Math.round(value) : value).toLocaleString("en-US", options).replace("-", "−");
}

// Of epochs and rows: every digit, up to a point.
function counted(value) {
  return value < 1e12 ? value.toLocaleString("en-US") : written(value, 3);
}

// On axes, where there is little room.
function marked(value) {
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-3 && size < 1e5)) return value.toLocaleString("en-US", { maximumSignificantDigits: 6, useGrouping: size >= 1e4 }).replace("-", "−");
  const [head, power] = Number(value.toPrecision(3)).toExponential().split("e");
  return `${head === "1" ? "" : head === "-1" ? "−" : `${head.replace("-", "−")}·`}10${raised(Number(power))}`;
}

function raised(power) {
  return String(power).replace(/./g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]));
}

function shortened(name, length = 28) {
  const letters = [...name], tail = Math.floor((length - 1) / 2);
  return letters.length <= length ? name : `${letters.slice(0, length - 1 - tail).join("")}…${letters.slice(-tail).join("")}`;
}

// Round numbers between two others.
function ticks(low, high, most) {
  const raw = (high - low) / most, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= raw) ?? 10);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high && found.length < 30; i++) found.push(i * step + 0); // + 0: no −0
  return found;
}

// An empty picture with its axes; x and y say where in it a value lies.
function framed(svg, across, up, names, marks) {
  const width = Math.max(svg.clientWidth, 200), height = Math.round(Math.min(Math.max(0.74 * width, 240), 420));
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  const right = width - ROOM.right, bottom = height - ROOM.bottom;
  const x = (value) => ROOM.left + ((value - across[0]) / (across[1] - across[0])) * (right - ROOM.left);
  const y = (value) => bottom - ((value - up[0]) / (up[1] - up[0])) * (bottom - ROOM.top);
  const clip = made("clipPath", { id: `${svg.id}-clip` });
  const box = { x: ROOM.left, y: ROOM.top, width: right - ROOM.left, height: bottom - ROOM.top };
  clip.append(made("rect", box));
  const grid = made("g", { class: "grid" }), inside = made("g", { "clip-path": `url(#${svg.id}-clip)` });
  for (const value of ticks(...across, width < 330 ? 4 : 5)) {
    grid.append(made("line", { x1: x(value), x2: x(value), y1: ROOM.top, y2: bottom }));
    grid.append(made("text", { x: x(value), y: bottom + 17, "text-anchor": "middle" }, marked(value)));
  }
  for (const [value, text] of marks ?? ticks(...up, 5).map((tick) => [tick, marked(tick)])) {
    grid.append(made("line", { x1: ROOM.left, x2: right, y1: y(value), y2: y(value) }));
    grid.append(made("text", { x: ROOM.left - 7, y: y(value) + 4, "text-anchor": "end" }, text));
  }
  const middle = (ROOM.left + right) / 2;
  grid.append(made("text", { class: "name", x: middle, y: height - 6, "text-anchor": "middle" }, names[0]));
  if (names[1]) {
    const at = { class: "name", x: 12, y: (ROOM.top + bottom) / 2, "text-anchor": "middle" };
    grid.append(made("text", { ...at, transform: `rotate(-90 12 ${at.y})` }, names[1]));
  }
  svg.append(clip, grid, inside);
  return { x, y, inside, across, up };
}

function line(points, name) {
  return made("polyline", { class: name, points: points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ") });
}

// A range with some room around it.
function roomy(values, share = 0.06) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const room = (high - low) * share || Math.abs(high) * 0.5 || 1;
  return [low - room, high + room];
}

// The line y = slope·x + level as far as it is seen: of a steep one both ends lie above and below the picture.
function straight(plot, slope, level, name) {
  const { x, y, across, up } = plot;
  if (!Number.isFinite(slope) || !Number.isFinite(level)) return made("g", {});
  const steep = Math.abs(slope) * (across[1] - across[0]) > 4 * (up[1] - up[0]);
  const ends = steep ? up.map((value) => [(value - level) / slope, value]) : across.map((value) => [value, slope * value + level]);
  const seen = ends.map(([a, b]) => [x(a), y(b)]);
  return seen.every(([a, b]) => Math.abs(a) < 1e5 && Math.abs(b) < 1e5) ? line(seen, name) : made("g", {});
}

function drawData(svg, column, target, values, bowl, now) {
  const own = (weight, bias) => [weight / bowl.scale, bias - (weight / bowl.scale) * bowl.shift];
  const across = roomy(column.values), begun = own(...bowl.start);
  const up = roomy([...values, ...across.map((value) => begun[0] * value + begun[1])], 0.2);
  const plot = framed(svg, across, up, [shortened(column.name), shortened(target)]);
  column.values.forEach((value, i) => {
    plot.inside.append(made("circle", { class: "datum", cx: plot.x(value), cy: plot.y(values[i]), r: values.length > 60 ? 2.2 : 4 }));
  });
  plot.inside.append(straight(plot, ...begun, "begun"));
  plot.inside.append(straight(plot, ...own(...bowl.lowest), "goal"));
  plot.inside.append(straight(plot, ...own(now.weight, now.bias), "now"));
}

// Lines of equal loss around the lowest point, even steps outward; the outer one that is whole is the loss of the start.
function drawSurface(svg, bowl, path, names) {
  const { mean, variance, lowest } = bowl;
  const rim = bowl.excess > 0 ? bowl.excess : variance * (lowest[0] ** 2 || 1);
  const reach = [Math.sqrt(rim / variance) * 1.2, Math.sqrt(rim * (1 + (mean * mean) / variance)) * 1.2];
  const plot = framed(svg, ...[0, 1].map((i) => [lowest[i] - reach[i], lowest[i] + reach[i]]), names);
  for (let i = 18; i > 0; i--) {
    const radius = Math.sqrt(rim) * (i / 8), points = [];
    for (let j = 0; j < 96; j++) {
      const w = (radius / Math.sqrt(variance)) * Math.cos((j * Math.PI) / 48);
      points.push([plot.x(lowest[0] + w), plot.y(lowest[1] - mean * w + radius * Math.sin((j * Math.PI) / 48))]);
    }
    plot.inside.append(made("polygon", { class: i === 8 ? "level rim" : "level", points: line(points, "").getAttribute("points") }));
  }
  const seen = [];
  let left = null;
  for (const point of path) {
    const w = (point.weight - lowest[0]) / reach[0], b = (point.bias - lowest[1]) / reach[1];
    const size = Math.max(Math.abs(w), Math.abs(b));
    if (size > 1 && left === null) left = point.epochs;
    if (size <= 1) left = null;
    const cut = size > FAR ? FAR / size : 1;
    if (!Number.isFinite(size)) break;
    seen.push([plot.x(lowest[0] + w * cut * reach[0]), plot.y(lowest[1] + b * cut * reach[1])]);
    if (cut < 1) break;
  }
  plot.inside.append(line(seen, "now"));
  if (seen.length <= 120) for (const [cx, cy] of seen) plot.inside.append(made("circle", { class: "dot", cx, cy, r: 2.6 }));
  const ends = [["lowest", plot.x(lowest[0]), plot.y(lowest[1])], ["begin", ...seen[0]], ["end", ...seen[seen.length - 1]]];
  for (const [name, cx, cy] of ends) plot.inside.append(made("circle", { class: name, cx, cy, r: 5.5 }));
  return left;
}

// On a scale of powers of ten; what is past all bounds ends at the upper edge.
function drawLoss(svg, bowl, path) {
  const first = bowl.best + bowl.excess || 1, floor = 1e-16 * first, roof = 1e12 * first;
  const logs = path.map(({ loss }) => Math.log10(Math.min(Math.max(Number.isFinite(loss) ? loss : Infinity, floor), roof)));
  const low = Math.floor(Math.min(...logs) - 0.05), high = Math.max(Math.ceil(Math.max(...logs) + 0.05), low + 2);
  const last = path[path.length - 1].epochs, power = 10 ** Math.floor(Math.log10(Math.max(last, 10)));
  const until = power * [1, 2, 5, 10].find((many) => many * power >= Math.max(last, 10));
  const marks = ticks(low, high, 5).filter(Number.isInteger).map((tick) => [tick, marked(10 ** tick)]);
  const plot = framed(svg, [0, until], [low, high], ["epoch", "loss"], marks);
  if (bowl.best > 0 && Math.log10(bowl.best) > low) {
    const at = plot.y(Math.log10(bowl.best));
    plot.inside.append(line([[plot.x(0), at], [plot.x(until), at]], "goal"));
  }
  const seen = path.map(({ epochs }, i) => [plot.x(epochs), plot.y(logs[i])]);
  plot.inside.append(line(seen, "now"));
  if (seen.length <= 60) for (const [cx, cy] of seen) plot.inside.append(made("circle", { class: "dot", cx, cy, r: 2.6 }));
  const [cx, cy] = seen[seen.length - 1];
  plot.inside.append(made("circle", { class: "end", cx, cy, r: 5.5 }));
}

// The slider's scale: what converges, what diverges, the limit and the best between them.
function drawMarks(svg, at, limit, best, names) {
  const width = svg.clientWidth, thumb = 24, x = (share) => thumb / 2 + share * (width - thumb);
  const [edge, good] = [x(at(limit)), x(at(best))];
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} 56`);
  svg.append(made("rect", { class: "under", x: x(0), y: 34, width: Math.max(edge - x(0), 0), height: 10 }));
  svg.append(made("rect", { class: "over", x: edge, y: 34, width: Math.max(x(1) - edge, 0), height: 10 }));
  if (edge - good > 3) svg.append(made("line", { class: "good", x1: good, x2: good, y1: 30, y2: 48 }));
  svg.append(made("line", { class: "limit", x1: edge, x2: edge, y1: 20, y2: 56 }));
  const side = edge > width / 2 ? "end" : "start";
  svg.append(made("text", { class: "limit", x: edge + (side === "end" ? 4 : -4), y: 14, "text-anchor": side }, names));
}
