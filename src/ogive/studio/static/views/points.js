// What the map shows of every candidate: its place, its look, and the front.

import { computed, signal } from "/static/vendor/preact.js";
import { get } from "/static/api.js";
import { FADED, HOLLOW, look, tone } from "/static/scatter.js";
import { candidates, inTime, objectives, run } from "/static/store.js";
import { filter } from "/static/views/query.js";

export const STRUCTURE = { pca: "structure (PCA)", mds: "structure (MDS)" };
/** Shapes by origin; a strategy that says nothing more of its candidates draws circles. */
const ORIGINS = { guided: "triangle", mutation: "diamond", human: "square", assembled: "plus" };
const shapeOf = (origin) => ORIGINS[origin?.split("-")[0]] ?? "circle";

/** What the person chose: quantities, or for `x` a kind of structure; null takes what fits the run. */
export const axes = signal({ x: "pca", y: null, colour: null });

/** Measured quantities as [{name, direction}], the objectives first. */
export const quantities = computed(() => {
  const rows = candidates();
  const own = [{ name: "seconds", direction: "min" }, { name: "rev" }, { name: "id" }];
  const known = new Map([...objectives.value, ...(run.value?.metrics ?? []), ...own].reverse().map((q) => [q.name, q]));
  return [...known.values()].reverse().filter(({ name }) => rows.metrics.has(name) || own.some((o) => o.name === name));
});
const called = (name, otherwise) => quantities.value.find((q) => q.name === name) ?? quantities.value[otherwise];

/** The quantities {x, y} of the axes, null where the map shows structure; and the one that colours the points. */
export const pair = computed(() =>
  axes.value.x in STRUCTURE ? null : { x: called(axes.value.x, 1), y: called(axes.value.y, 0) });
export const colouring = computed(() => called(axes.value.colour, 0));

/** Return the column of a quantity. */
export const column = (rows, name) =>
  ({ seconds: rows.seconds, rev: rows.rev, id: rows.ids })[name] ?? rows.metrics.get(name);

// ---- places of structure, asked for as candidates come

const chart = signal(null);
let asking = false;

function grown(old, count) {
  const longer = new Float64Array(Math.max(count, old.length)).fill(NaN);
  longer.set(old);
  return longer;
}

/** Ask for the places of candidates that have none yet. */
export async function locate() {
  const [rows, kind, of, rev] = [candidates(), axes.value.x, run.value?.run.name, run.value?.rev];
  let known = chart.value;
  if (!(kind in STRUCTURE) || asking || !rows.count) return;
  if (known?.kind !== kind || known.of !== of || known.seq > rows.seq) known = { seq: 0, x: [], y: [] };
  if (known.seq === rows.seq && known.rev === rev) return;
  asking = true;
  try {
    let found = await get(`projection?kind=${kind}&after=${known.seq}`);
    if (known.seq && found.basis !== known.basis) {
      known = { x: [], y: [] };
      found = await get(`projection?kind=${kind}`);
    }
    const [x, y] = [grown(known.x, rows.count), grown(known.y, rows.count)];
    found.ids.forEach((id, i) => {
      const row = rows.rowOf.get(id);
      if (row !== undefined) [x[row], y[row]] = [found.x[i], found.y[i]];
    });
    // Candidates that this tab has not heard of have no row yet: they are asked for again.
    chart.value = { ...found, of, rev, x, y, seq: Math.min(found.seq, rows.seq) };
  } finally {
    asking = false;
  }
}

/** The answer about structure that fits the axes, null if there is none. */
export const structure = computed(() => (chart.value?.kind === axes.value.x ? chart.value : null));

// ---- points

/** {low, high}: between which values something runs; where there are many, a share of the worst does not count. */
function bounds(rows, { name, direction }, share) {
  const known = column(rows, name).slice(0, rows.count).filter(Number.isFinite).sort();
  const tail = known.length < 100 ? 0 : Math.round(share * known.length);
  const [low, high] = direction === "min" ? [0, tail] : [tail, 0];
  return known.length ? { low: known[low], high: known[known.length - 1 - high] } : null;
}

/** Between which values the colours run: the worst quarter has one colour, so that the good ones differ. */
export const scale = computed(() => bounds(candidates(), colouring.value, 0.25));

/** Points as the scatter takes them: {count, x, y, looks}, row for row those of the candidates. */
export const points = computed(() => {
  const [rows, { x, y }] = [candidates(), pair.value ?? {}];
  const places = (quantity, axis) =>
    quantity ? column(rows, quantity.name) : grown(structure.value?.[axis] ?? [], rows.count);
  const looks = new Uint16Array(rows.count);
  const [values, gone, { test }] = [column(rows, colouring.value.name), barred(rows), filter.value];
  const { low, high } = scale.value ?? {};
  const share = (value) => (colouring.value.direction === "min" ? high - value : value - low) / (high - low || 1);
  const shapes = new Map(origins.value);
  for (let row = 0; row < rows.count; row++) {
    const known = Number.isFinite(values[row]);
    const out = gone(row) || !test(row) || !inTime(row) || rows.status[row] === "dropped";
    const flags = (out ? FADED : 0) | (known && rows.feasible[row] ? 0 : HOLLOW);
    const shape = rows.status[row] === "failed" ? "cross" : (shapes.get(rows.origin[row]) ?? "circle");
    looks[row] = look(shape, known && !out ? tone(share(values[row])) : 0, flags);
  }
  return { count: rows.count, x: places(x, "x"), y: places(y, "y"), looks };
});

/** Return the function that tells of a row whether it has an excluded part or lacks a locked one. */
function barred(rows) {
  const statuses = Object.entries(run.value?.statuses ?? {}).map(([part, is]) => [rows.partNames.indexOf(part), is]);
  const known = statuses.filter(([part]) => part >= 0);
  return (row) => known.some(([part, is]) => rows.parts[row].includes(part) === (is === "excluded"));
}

/** Origins that occur, as [[name, shape]]. */
export const origins = computed(() =>
  [...new Set(candidates().origin)].filter(Boolean).map((name) => [name, shapeOf(name)]));

/** What the map shows at first, {x0, x1, y0, y1}: all structure; of quantities the front and all but the worst few. */
export const whole = computed(() => {
  const range = (quantity, axis) => {
    const places = points.value["xy"[axis]];
    const known = quantity ? bounds(candidates(), quantity, 0.05) : null;
    const least = known ? [known.low, known.high] : (structure.value?.extent[axis] ?? [0, 1]);
    const all = quantity ? (front.value ?? []).map((row) => places[row]) : places;
    const [low, high] = all.reduce(([a, b], v) => [v < a ? v : a, v > b ? v : b], least);
    const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
    return [low - room, high + room];
  };
  const [[x0, x1], [y0, y1]] = [range(pair.value?.x, 0), range(pair.value?.y, 1)];
  return { x0, x1, y0, y1 };
});

/** Rows of the Pareto front of both axes, from its best x on; null where an axis has no better side. */
export const front = computed(() => {
  const { x, y } = pair.value ?? {};
  if (!x?.direction || !y?.direction || x === y) return null;
  const rows = candidates();
  const [u, v] = [x, y].map(({ name, direction }) => column(rows, name).map((n) => (direction === "max" ? n : -n)));
  const fit = [...rows.arch.keys()].filter((row) => rows.feasible[row] && !Number.isNaN(u[row] + v[row]));
  let best = -Infinity;
  return fit.sort((a, b) => u[b] - u[a] || v[b] - v[a]).filter((row) => v[row] > best && ((best = v[row]), true));
});
