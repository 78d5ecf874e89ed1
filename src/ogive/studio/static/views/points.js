// What the map shows of every candidate: its place, its look, the front and the bounds.

import { computed, signal } from "/static/vendor/preact.js";
import { get } from "/static/api.js";
import { FADED, GREY, HOLLOW, SHAPES, look, tone } from "/static/scatter.js";
import { candidates, inTime, objectives, run } from "/static/store.js";
import { filter } from "/static/views/query.js";

export const STRUCTURE = { pca: "structure (PCA)", mds: "structure (MDS)" };
/** Shapes by origin; a strategy that says nothing more of its candidates draws circles. */
const ORIGINS = { guided: "triangle", mutation: "diamond", human: "square", assembled: "plus" };
const shapeOf = (origin) => ORIGINS[origin?.split("-")[0]] ?? "circle";
const TAIL = 0.05;

/** What the person chose: `kind` is "pca", "mds" or "two" (quantities `x` and `y`); null takes what fits the run. */
export const axes = signal({ kind: "pca", x: null, y: null });
/** The metric that colours the points; null is the first objective. */
export const coloured = signal(null);

/** Measured quantities as [{name, unit, direction}], the objectives first; direction is "max", "min" or null. */
export const quantities = computed(() => {
  const known = new Map([...objectives.value, ...(run.value?.metrics ?? [])].map((m) => [m.name, m]));
  for (const name of candidates().metrics.keys()) if (!known.has(name)) known.set(name, { name });
  known.set("seconds", { name: "seconds", unit: "s", direction: "min" });
  known.set("rev", { name: "rev" });
  known.set("id", { name: "id" });
  return [...known.values()];
});

/** Return the column of a quantity. */
export function column(rows, name) {
  return { seconds: rows.seconds, rev: rows.rev, id: rows.ids }[name] ?? rows.metric(name);
}

/** The two quantities of the axes, null where the map shows structure. */
export const pair = computed(() => {
  if (axes.value.kind !== "two") return null;
  const all = quantities.value;
  const of = (name, otherwise) => all.find((q) => q.name === name) ?? all[Math.min(otherwise, all.length - 1)];
  return { x: of(axes.value.x, 1), y: of(axes.value.y, 0) };
});

/** The quantity that colours the points. */
export const colouring = computed(() => {
  const name = coloured.value ?? quantities.value[0].name;
  return quantities.value.find((q) => q.name === name) ?? quantities.value[0];
});

// ---- places of structure, asked for as candidates come

const nowhere = () => ({ kind: null, basis: null, seq: 0, of: null, x: new Float64Array(0), y: new Float64Array(0) });
const charts = signal(nowhere());
let asking = false;

/** Ask for the places of candidates that have none yet. */
export async function locate() {
  const kind = axes.value.kind;
  const rows = candidates();
  const of = run.value?.run.name;
  if (kind === "two" || asking || !rows.count) return;
  let known = charts.value;
  if (known.kind !== kind || known.of !== of || known.seq > rows.seq) known = { ...nowhere(), kind, of };
  if (known.seq >= rows.seq && known.rev === run.value?.rev) return;
  asking = true;
  try {
    let found = await get(`projection?kind=${kind}&after=${known.seq}`);
    if (known.basis !== null && found.basis !== known.basis) {
      known = { ...nowhere(), kind, of };
      found = await get(`projection?kind=${kind}&after=0`);
    }
    const [x, y] = [grown(known.x, rows.count), grown(known.y, rows.count)];
    found.ids.forEach((id, i) => {
      const row = rows.rowOf.get(id);
      if (row !== undefined) [x[row], y[row]] = [found.x[i], found.y[i]];
    });
    const { basis, share, extent } = found;
    // What this tab has not heard of yet has no row to keep its place in: it is asked for again.
    charts.value = { kind, of, basis, share, extent, seq: Math.min(found.seq, rows.seq), rev: run.value?.rev, x, y };
  } finally {
    asking = false;
  }
}

function grown(old, count) {
  const longer = new Float64Array(Math.max(count, old.length)).fill(NaN);
  longer.set(old);
  return longer;
}

/** The share of the variance along both axes, for structure. */
export const share = computed(() => (charts.value.kind === axes.value.kind ? charts.value.share : null));

// ---- points

/** {low, high}: between which values the colours run; the worst few share the end. */
export const scale = computed(() => {
  const rows = candidates();
  const known = column(rows, colouring.value.name).slice(0, rows.count).filter(Number.isFinite).sort();
  if (!known.length) return null;
  const at = (share) => known[Math.round(share * (known.length - 1))];
  const tail = known.length >= 20 ? TAIL : 0;
  return colouring.value.direction === "min" ? { low: at(0), high: at(1 - tail) } : { low: at(tail), high: at(1) };
});

/** Points as the scatter takes them: {count, x, y, looks}, row for row those of the candidates. */
export const points = computed(() => {
  const rows = candidates();
  const { x, y } = pair.value
    ? { x: column(rows, pair.value.x.name), y: column(rows, pair.value.y.name) }
    : charts.value.kind === axes.value.kind
      ? { x: grown(charts.value.x, rows.count), y: grown(charts.value.y, rows.count) }
      : { x: grown([], rows.count), y: grown([], rows.count) };
  const looks = new Uint16Array(rows.count);
  const [values, gone, { test }] = [column(rows, colouring.value.name), barred(rows), filter.value];
  const { low, high } = scale.value ?? { low: 0, high: 1 };
  const [zero, span] = colouring.value.direction === "min" ? [high, low - high] : [low, high - low];
  const shapes = new Map();
  for (let row = 0; row < rows.count; row++) {
    const origin = rows.origin[row];
    if (!shapes.has(origin)) shapes.set(origin, SHAPES.indexOf(shapeOf(origin)));
    const failed = rows.status[row] === "failed";
    const known = Number.isFinite(values[row]);
    const paint = known ? tone(span ? (values[row] - zero) / span : 1) : GREY;
    const out = gone(row) || !test(row) || !inTime(row) || rows.status[row] === "dropped";
    const hollow = !known || rows.feasible[row] === 0;
    const shape = failed ? SHAPES.indexOf("cross") : shapes.get(origin);
    looks[row] = look(shape, out ? GREY : paint, (out ? FADED : 0) | (hollow ? HOLLOW : 0));
  }
  return { count: rows.count, x, y, looks };
});

/** Return whether a row has an excluded part, or lacks a locked one: it would not be proposed now. */
function barred(rows) {
  const statuses = Object.entries(run.value?.statuses ?? {});
  const numbers = (status) =>
    statuses.filter(([, is]) => is === status).map(([part]) => rows.partNames.indexOf(part)).filter((at) => at >= 0);
  const [excluded, locked] = [numbers("excluded"), numbers("locked")];
  if (!excluded.length && !locked.length) return () => false;
  return (row) =>
    excluded.some((part) => rows.parts[row].includes(part)) || !locked.every((part) => rows.parts[row].includes(part));
}

/** Origins that occur, as [[name, shape]]. */
export const origins = computed(() => {
  const rows = candidates();
  return [...new Set(rows.origin)].filter(Boolean).map((name) => [name, shapeOf(name)]);
});

/** Where the map shows everything: {x0, x1, y0, y1}. */
export const whole = computed(() => {
  const { x, y, count } = points.value;
  const extent = pair.value ? [[], []] : (charts.value.extent ?? [[], []]);
  const [[x0, x1], [y0, y1]] = [range(x, count, extent[0]), range(y, count, extent[1])];
  return { x0, x1, y0, y1 };
});

function range(values, count, [low = Infinity, high = -Infinity]) {
  for (let i = 0; i < count; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  if (low > high) return [0, 1];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

/** Rows of the Pareto front of both axes, by x; null where an axis has no better side. */
export const front = computed(() => {
  const { x, y } = pair.value ?? {};
  if (!x?.direction || !y?.direction || x.name === y.name) return null;
  const rows = candidates();
  const [xs, ys] = [column(rows, x.name), column(rows, y.name)];
  const [sx, sy] = [x, y].map(({ direction }) => (direction === "max" ? 1 : -1));
  const fit = Array.from({ length: rows.count }, (_, row) => row).filter(
    (row) => rows.feasible[row] && Number.isFinite(xs[row]) && Number.isFinite(ys[row]),
  );
  fit.sort((a, b) => sx * (xs[b] - xs[a]) || sy * (ys[b] - ys[a]));
  let best = -Infinity;
  return fit.filter((row) => sy * ys[row] > best && ((best = sy * ys[row]), true));
});
