"use strict";
// Asks the server what has changed, and changes that. Everything from files becomes text, never markup.
const EVERY = 2000, HIDDEN = 30000, SHOWN = 6;
const GLYPHS = { failed: "✕", diverged: "▲", stopped: "■", interrupted: "‖", invalid: "–", damaged: "!" };
const ORDER = ["finished", "diverged", "stopped", "failed", "invalid", "damaged", "interrupted", "running", "to do"];
const SERIES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];  // Okabe and Ito's, as in reports
const SVG = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);
const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };
const made = (tag, named = {}, text = "") => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(named)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
};

let state = null, chosen = null, byHand = false, run = null, lastFigures = "", lastMap = "";
const tags = new Map(), known = new Map();

// The values at an address, and whether they are others than before; the server says 304 where they are not.
async function ask(path) {
  const response = await fetch(path, { cache: "no-store", headers: tags.has(path) ? { "If-None-Match": tags.get(path) } : {} });
  if (response.status === 304) return [known.get(path), false];
  if (!response.ok) throw new Error(await response.text());
  tags.set(path, response.headers.get("ETag"));
  known.set(path, await response.json());
  return [known.get(path), true];
}

const number = (value) => value.toFixed(state.decimals).replace("-", "−");
const written = (value) => (value === null ? "" : number(value) + state.unit);
const signed = (value) => (value > 0 ? "+" : "") + number(value) + state.difference;

function showState() {
  document.title = `${state.counts.finished || 0}/${state.cells} ${state.name}`;
  put($("question"), state.question || state.name);
  const ended = ORDER.slice(0, 5).reduce((sum, status) => sum + (state.counts[status] || 0), 0);
  const parts = ORDER.filter((status) => state.counts[status]).map((status) => `${state.counts[status]} ${status}`);
  put($("summary"), state.cells ? `${ended} of ${state.cells} runs have ended: ${parts.join(", ")}.${state.left ? ` ${state.left[0].toUpperCase()}${state.left.slice(1)}.` : ""}` : "No run is there yet.");
  $("bar").replaceChildren(...ORDER.filter((status) => state.counts[status]).map((status) => {
    const part = made("i", { "data-status": status });
    part.style.flex = state.counts[status];
    return part;
  }));
  put($("metric"), `${state.metric} of runs that have ended, mean over the seeds and range; the difference is to the first row, over the seeds that both have.`);
  put($("values-head"), `${state.metric}${state.unit === "%" ? " in %" : ""} by optimizer step`);
  const keys = ORDER.filter((status) => state.counts[status]);
  if ($("key").dataset.of !== keys.join()) {
    $("key").dataset.of = keys.join();
    $("key").replaceChildren(...keys.map((status) => {
      const entry = made("span"), mark = made("span", { class: "mark", "aria-hidden": "true" });
      setMark(mark, status, 0.4);
      entry.append(mark, status);
      return entry;
    }));
  }
  showNote();
  showRows();
  showTroubles();
}

function showNote() {
  const note = $("note"), at = location.pathname;
  if (state.report === "ready" && at === "/") return location.reload();
  const link = (to, text) => made("a", { href: to }, text);
  const said = state.report === "making" ? ["The sweep has ended. Its report is being made …"]
    : state.report === "ready" ? ["The sweep has ended. ", link("/", "Its report")]
    : state.report === "failed" ? [`The sweep has ended; a report could not be made: ${state.said}`]
    : state.over ? ["Nothing is running. ", link("/report", "The report of what there is")] : [];
  note.hidden = !said.length;
  if (note.dataset.of !== `${state.report}${state.over}`) note.replaceChildren(...said);
  note.dataset.of = `${state.report}${state.over}`;
}

function setMark(mark, status, share) {
  mark.dataset.status = status;
  if (GLYPHS[status]) mark.dataset.glyph = GLYPHS[status]; else delete mark.dataset.glyph;
  mark.style.setProperty("--share", `${Math.max(8, Math.round((share || 0) * 100))}%`);
}

// The table is built anew where other variants or seeds are there; else only the cells that have changed are touched.
let built = "", rows = [];
function showRows() {
  const structure = JSON.stringify([state.seeds, state.rows.map((row) => [row.label, Object.keys(row.cells)])]);
  if (structure !== built) buildRows();
  built = structure;
  state.rows.forEach((row, at) => {
    const { line, cells, marks } = rows[at], before = rows[at].before, now = JSON.stringify(row);
    if (before === now) return;
    rows[at].before = now;
    line.classList.toggle("best", row.best);
    for (const [seed, [status, value, share]] of Object.entries(row.cells)) {
      const mark = marks.get(seed), said = `seed ${seed}: ${status}${share === null ? "" : ` ${Math.round(share * 100)}%`}${value === null ? "" : `, ${state.metric} ${written(value)}`}`;
      if (mark.title === said) continue;
      mark.title = said;
      mark.setAttribute("aria-label", `${row.label}, ${said}`);
      setMark(mark, status, share);
    }
    const lost = Object.entries(row.lost).map(([status, count]) => `${count} ${status}`).join(", ");
    put(cells[2], `${row.finished} of ${row.of}${lost ? `, ${lost}` : ""}`);
    cells[2].classList.toggle("lost", Boolean(lost));
    put(cells[3], row.mean === null ? "" : written(row.mean) + (row.best ? " best so far" : ""));
    put(cells[4], row.range === null || row.finished < 2 ? "" : `${number(row.range[0])} to ${number(row.range[1])}`);
    put(cells[5], row.change === null ? "" : `${signed(row.change)} (${row.pairs} ${row.pairs === 1 ? "seed" : "seeds"})`);
  });
}

function buildRows() {
  const heads = ["variant", "seeds", "finished", "mean so far", "range", "difference"];
  const head = made("tr");
  head.append(...heads.map((text) => made("th", { scope: "col" }, text)));
  $("runs").tHead.replaceChildren(head);
  rows = state.rows.map((row, at) => {
    const line = made("tr"), cells = heads.map(() => made("td")), marks = new Map(), holder = made("span", { class: "marks" });
    const name = made("button", { class: "name", "aria-pressed": "false" }, row.label);
    name.addEventListener("click", () => choose(at));
    for (const seed of state.seeds) {
      if (!(seed in row.cells)) { holder.append(made("span", { class: "mark", style: "visibility: hidden; width: 24px" })); continue; }
      const mark = made("button", { class: "mark", "aria-pressed": "false" });
      mark.addEventListener("click", () => { run = [at, seed]; byRun = true; press(); refresh(); });
      marks.set(String(seed), mark);
      holder.append(mark);
    }
    cells[0].append(name);
    cells[1].append(holder);
    line.append(...cells);
    return { line, cells, marks, name, before: "" };
  });
  $("runs").tBodies[0].replaceChildren(...rows.map((row) => row.line));
  chosen = run = null;
}

// Which variants have curves, and which run has its map: until somebody chooses, the first row and what is running.
let byRun = false;
function choose(at) {
  byHand = true;
  chosen = chosen.includes(at) ? chosen.filter((other) => other !== at) : [...chosen, at].slice(-SHOWN);
  press();
  refresh();
}
function chooseUnasked() {
  const has = (row, ...statuses) => Object.values(row.cells).some(([status]) => statuses.includes(status));
  const places = state.rows.map((_, at) => at);
  if (!byHand || !chosen) {
    const running = places.filter((at) => at && has(state.rows[at], "running"));
    const begun = places.filter((at) => at && !running.includes(at) && has(state.rows[at], "finished", "diverged", "stopped"));
    const wanted = [0, ...running, ...begun].slice(0, 4).filter((at) => at in state.rows).sort((a, b) => a - b);
    if (!chosen || running.some((at) => !chosen.includes(at))) chosen = wanted;
  }
  const of = (one) => state.rows[one[0]]?.cells[one[1]]?.[0];
  if (!run || (!byRun && of(run) !== "running")) {
    const every = state.rows.flatMap((row, at) => Object.entries(row.cells).map(([seed, [status]]) => [at, Number(seed), status]));
    const next = every.find((one) => one[2] === "running") || (run ? null : every.find((one) => one[2] === "finished"));
    if (next) run = next.slice(0, 2);
  }
  press();
}
function press() {
  rows.forEach((row, at) => {
    row.name.setAttribute("aria-pressed", chosen.includes(at));
    row.name.style.setProperty("--series", colour(at));
    for (const [seed, mark] of row.marks) mark.setAttribute("aria-pressed", Boolean(run && run[0] === at && String(run[1]) === seed));
  });
}
const colour = (at) => (at === 0 ? "var(--ink)" : SERIES[Math.max(0, chosen.filter((other) => other).indexOf(at)) % SERIES.length]);

async function showCurves() {
  const answers = await Promise.all(chosen.map((at) => ask(`/curves/${at}`)));
  const drawn = JSON.stringify(chosen);
  if (drawn === lastFigures && !answers.some(([, isNew]) => isNew)) return;
  lastFigures = drawn;
  $("chips").replaceChildren(...chosen.map((at) => {
    const chip = made("button", { class: "chip", title: "leave out of the curves" }, state.rows[at].label);
    chip.style.setProperty("--series", colour(at));
    chip.addEventListener("click", () => choose(at));
    return chip;
  }));
  const lines = answers.flatMap(([of], i) => of.lines.map((line) => ({ ...line, label: of.label, colour: colour(chosen[i]) })));
  draw($("loss"), lines.map((line) => ({ ...line, points: line.loss })), true);
  draw($("values"), lines.map((line) => ({ ...line, points: line.metric })), false);
}

// Round values between two, about so many.
function ticks(low, high, about) {
  const rough = (high - low) / about, size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => size * factor).find((step) => step >= rough * 0.999);
  return Array.from({ length: Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1 }, (_, i) => (Math.ceil(low / step - 1e-9) + i) * step);
}
const short = (value) => (Math.abs(value) >= 1e6 ? value.toExponential().replace("e+", "e") : Math.abs(value) >= 1e4 ? `${value / 1000}k` : String(Number(value.toPrecision(4)))).replace("-", "−");

function draw(svg, lines, mayBeLog) {
  const add = (tag, named, text = "") => {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(named)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    svg.append(element);
    return element;
  };
  svg.replaceChildren();
  const all = lines.flatMap((line) => line.points);
  if (!all.length) return add("text", { x: 260, y: 140, "text-anchor": "middle" }, "nothing has been measured yet");
  const values = all.map((point) => point[1]), last = Math.max(1, ...all.map((point) => point[0]));
  let low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  const isLog = mayBeLog && low > 0 && high / low > 20, scale = isLog ? Math.log10 : (value) => value;
  [low, high] = [scale(low), scale(high)];
  const room = (high - low) * 0.04 || Math.abs(high) * 0.05 || 1;
  [low, high] = [low - room, high + room];
  const place = ([x, y]) => [52 + (x / last) * 456, 246 - ((scale(y) - low) / (high - low)) * 232];
  const shown = isLog ? ticks(low, high, 4).filter((t) => high - low < 2.5 || Number.isInteger(t)).map((t) => [10 ** t, short(Number((10 ** t).toPrecision(2)))]) : ticks(low, high, 5).map((t) => [t, short(t)]);
  for (const [value, text] of shown) {
    const [, y] = place([0, value]);
    add("line", { x1: 52, x2: 508, y1: y, y2: y, class: "grid-line" });
    add("text", { x: 46, y: y + 4, "text-anchor": "end" }, text);
  }
  for (const step of ticks(0, last, 5)) add("text", { x: place([step, 1])[0], y: 264, "text-anchor": "middle" }, short(step));
  for (const line of lines) {
    if (!line.points.length) continue;
    const placed = line.points.map(place), round = (v) => v.toFixed(1);
    const path = add("path", { class: "line", d: `M${placed.map(([x, y]) => `${round(x)} ${round(y)}`).join("L")}` });
    path.style.stroke = line.colour;
    const tip = document.createElementNS(SVG, "title");
    tip.textContent = `${line.label}, seed ${line.seed}: ${line.status}`;
    path.append(tip);
    const [x, y] = placed[placed.length - 1];
    const end = ["diverged", "stopped", "failed"].includes(line.status)
      ? add("path", { class: "line end", d: `M${x - 4} ${y - 4}l8 8m-8 0l8 -8` })
      : placed.length === 1 || line.status === "running" ? add("circle", { cx: x, cy: y, r: 3 }) : null;
    if (end) end.style[end.tagName === "circle" ? "fill" : "stroke"] = line.colour;
  }
}

async function showMap() {
  if (!run) return;
  const [map, isNew] = await ask(`/gradients/${run[0]}/${run[1]}`);
  if (!isNew && lastMap === String(run)) return;
  lastMap = String(run);
  put($("map-said"), `${state.rows[run[0]].label}, ${map.said}. Blue: the gradient fades towards the image; orange: it grows; white: even; hatched: not finite. Choose another run by its mark in the table.`);
  if (!map.svg) return $("map").replaceChildren();
  const svg = new DOMParser().parseFromString(map.svg, "image/svg+xml").documentElement;
  $("map").replaceChildren(document.importNode(svg, true));
}

let told = "";
function showTroubles() {
  const now = JSON.stringify(state.troubles);
  if (now === told) return;
  told = now;
  const open = new Set([...document.querySelectorAll("#trouble-list details[open] summary")].map((head) => head.textContent));
  $("troubles").hidden = !state.troubles.length;
  $("trouble-list").replaceChildren(...state.troubles.map((one) => {
    const entry = made("details"), head = `${one.label}, seed ${one.seed}: ${one.status}. ${one.lines[one.lines.length - 1]}`;
    entry.open = open.has(head);
    entry.append(made("summary", {}, head), made("pre", {}, one.lines.join("\n")));
    if (one.place) entry.append(made("p", { class: "small" }, one.place));
    return entry;
  }));
}

// A map tells the layer, the steps and the value under the pointer.
document.addEventListener("pointermove", (event) => {
  const map = event.target.closest?.("image[data-map]"), tip = $("tip");
  tip.hidden = !map;
  if (!map) return;
  map.told ??= JSON.parse(map.dataset.map);
  map.numbers ??= new DataView(Uint8Array.from(atob(map.told.values), (c) => c.charCodeAt(0)).buffer);
  const { layers, steps, columns } = map.told, box = map.getBoundingClientRect();
  const at = (where, size, count) => Math.max(0, Math.min(count - 1, Math.floor((where / size) * count)));
  const row = at(event.clientY - box.top, box.height, layers.length), column = at(event.clientX - box.left, box.width, columns);
  const value = map.numbers.getInt16(2 * (row * columns + column), true);
  const ratio = value === -32768 ? "no gradient" : value === -32767 ? "not finite" : `${(10 ** (value / 1000)).toPrecision(2)} × the head's gradient`;
  tip.textContent = `${layers[row]}\nfrom step ${Math.ceil((column * steps) / columns)}\n${ratio}`;
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${event.clientY + 18}px`;
});

let asking = false, timer = 0;
async function refresh() {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  try {
    const [now, isNew] = await ask("/state.json");
    state = now;
    if (isNew) showState();
    if (!document.hidden && state.rows.length) {
      chooseUnasked();
      await Promise.all([showCurves(), showMap()]);
    }
    document.body.dataset.shown = "yes";
  } catch (error) {
    put($("summary"), `Not up to date: ${error instanceof TypeError ? "`ablate watch` does not answer; it may have ended" : error.message}.`);
    tags.clear();
  }
  asking = false;
  timer = setTimeout(refresh, document.hidden ? HIDDEN : EVERY);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
refresh();
