// V4: how the search went: every value, the median of each batch, the best so far; the supernet's loss; what people did.

import uPlot from "/static/vendor/uplot.js";
import { html, signal, useEffect, useMemo, useRef, useState } from "/static/vendor/preact.js";
import { theme, token } from "/static/colours.js";
import { Empty, useResource, useSize } from "/static/panes.js";
import { candidates, marks, objectives, select, selection, series } from "/static/store.js";
import { short } from "/static/widgets.js";

const BATCH = 8;
const SMOOTH = 0.9;
const STEPS = [0.01, 0.1, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400];

/**
 * A clock that stands still while the run did: `to(ts)` are seconds of work since the run began, `from` its inverse.
 * Without it, a night between two sessions would be most of the picture.
 */
function workClock(events, first, last) {
  const points = [[first, 0]];
  let going = true;
  for (const { t, working = going } of [...events, { t: last }]) {
    const [before, work] = points.at(-1);
    points.push([t, going ? work + t - before : work]);
    going = working;
  }
  const along = (a, b) => (value) => {
    const at = Math.max(1, points.findLastIndex((point, i) => i < points.length - 1 && point[a] <= value) + 1);
    const [low, high] = [points[at - 1], points[at]];
    return low[b] + (high[a] > low[a] ? ((value - low[a]) / (high[a] - low[a])) * (high[b] - low[b]) : 0);
  };
  return { to: along(0, 1), from: along(1, 0) };
}

/** Return [x, value, median of each batch of 8, best so far] of the first objective over evaluated candidates. */
function values(rows, { name, direction }, clock) {
  const column = rows.metric(name);
  const order = [];
  for (let row = 0; row < rows.count; row++) if (!Number.isNaN(column[row])) order.push(row);
  order.sort((a, b) => rows.ts[a] - rows.ts[b]);
  const sign = direction === "min" ? -1 : 1;
  let best = null;
  const bests = order.map((row) => {
    if (rows.feasible[row] && (best === null || sign * (column[row] - best) > 0)) best = column[row];
    return best;
  });
  const medians = order.map((_, i) => {
    if (i % BATCH !== BATCH - 1) return undefined;
    const batch = order.slice(i - BATCH + 1, i + 1).map((row) => column[row]).sort((a, b) => a - b);
    return (batch[BATCH / 2 - 1] + batch[BATCH / 2]) / 2;
  });
  return [order.map((row) => clock.to(rows.ts[row])), order.map((row) => column[row]), medians, bests];
}

/** Return [x, loss, smoothed loss] of training: an exponential mean that does not start at 0. */
function losses(train, clock) {
  let [sum, weight] = [0, 0];
  const smooth = train.map(({ loss }) => {
    [sum, weight] = [SMOOTH * sum + (1 - SMOOTH) * loss, SMOOTH * weight + 1 - SMOOTH];
    return sum / weight;
  });
  return [train.map(({ t }) => clock.to(t)), train.map(({ loss }) => loss), smooth];
}

/** Draw the marks as vertical lines: a person's commands in full, the engine's states and checkpoints faint. */
function drawMarks(plot, events) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  for (const { x, person } of events) {
    const at = Math.round(plot.valToPos(x, "x", true));
    if (at < bbox.left || at > bbox.left + bbox.width) continue;
    ctx.strokeStyle = token(person ? "--accent" : "--line-strong");
    ctx.setLineDash(person ? [] : [2 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

function minutes(seconds) {
  const [h, m, s] = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map(Math.floor);
  return `${h ? `${h}:${String(m).padStart(2, "0")}` : m}:${String(s).padStart(2, "0")}`;
}

// What lies under the pointer, in words.
const reading = signal("");

function read({ cursor, data, series: lines }) {
  if (!cursor.event) return;
  const known = lines.slice(1).map(({ label }, i) => [label, data[i + 1][cursor.idx]]);
  reading.value = known.filter(([, v]) => Number.isFinite(v)).map(([label, v]) => `${label} ${short(v)}`).join(", ");
}

/** Make the selected stretch of a plot the selected stretch of time. */
function brush(plot, clock) {
  const { left, width } = plot.select;
  const at = (px) => Math.round(clock.from(plot.posToVal(px, "x")) * 1000) / 1000;
  if (width > 3) select({ time: [at(left), at(left + width)] });
  else if (selection.peek().time) select({ time: null });
}

/** Return how uPlot draws; `live` holds what changes without another plot: {clock, end, marks}. */
function options({ width, height }, { label, lines, log, last }, live) {
  const font = "11px system-ui, sans-serif";
  const grid = { stroke: token("--line"), width: 1 };
  const axis = { stroke: token("--muted"), font, labelFont: font, grid, ticks: { show: false } };
  const time = (_, ticks, __, ___, step) => ticks.map((s) => (step < 1 ? `${Number(s.toPrecision(3))} s` : minutes(s)));
  return {
    ...{ width, height, legend: { show: false }, padding: [8, 12, 0, 0], series: [{}, ...lines] },
    cursor: { drag: { x: true, y: false, setScale: false }, sync: { key: "timeline" }, points: { size: 6 } },
    scales: { x: { time: false, range: () => [0, live.current.end] }, y: { distr: log ? 3 : 1 } },
    axes: [
      { ...axis, grid: { show: false }, incrs: STEPS, values: last ? time : () => [], size: last ? 24 : 8 },
      { ...axis, label, labelSize: 16, size: 52, values: (_, ticks) => ticks.map((v) => (v === null ? "" : short(v))) },
    ],
    hooks: {
      drawAxes: [(plot) => drawMarks(plot, live.current.marks)],
      setSelect: [(plot) => brush(plot, live.current.clock)],
      setCursor: [read],
    },
  };
}

/** One plot; it is made anew when its size or looks change, and gets new data otherwise. */
function Plot({ data, looks, live, size, describe }) {
  const [place, plot, now] = [useRef(null), useRef(null), useRef(live)];
  now.current = live;
  const shape = JSON.stringify([size, looks.log, looks.label, looks.last, theme.value]);
  const time = selection.value.time;
  useEffect(() => {
    plot.current = new uPlot(options(size, looks, now), data, place.current);
    return () => plot.current.destroy();
  }, [shape]);
  useEffect(() => plot.current.setData(data), [data]);
  useEffect(() => {
    const [left, right] = (time ?? [0, 0]).map((t) => plot.current.valToPos(live.clock.to(t), "x"));
    const height = plot.current.over.clientHeight;
    plot.current.setSelect({ left, width: time ? Math.max(2, right - left) : 0, top: 0, height }, false);
  }, [shape, data, time]);
  return html`<div class="timeline-plot" ref=${place} role="img" aria-label=${describe}></div>`;
}

const line = (label, colour, more = {}) => ({ label, stroke: colour, width: 1.5, points: { show: false }, ...more });
const dots = (label, colour) => ({ label, stroke: colour, paths: () => null, points: { show: true, size: 3, fill: colour } });

/** Return all that is drawn: the clock, its end, the marks, values and losses in columns. */
function drawn(rows, train, objective) {
  const known = [...marks.value.map(({ t }) => t), ...train.map(({ t }) => t), ...rows.ts.subarray(0, rows.count)];
  const [first, last] = known.filter(Boolean).reduce(([a, b], t) => [Math.min(a, t), Math.max(b, t)], [Infinity, 0]);
  const clock = workClock(marks.value, first, last);
  const lines = marks.value.map((m) => ({ ...m, x: clock.to(m.t) }));
  const live = { clock, end: clock.to(last), marks: lines };
  return { live, found: values(rows, objective, clock), loss: losses(train, clock) };
}

/** The plots, one below the other on the same clock. */
function Plots({ rows, train, objective, log, width, height }) {
  const now = [rows.seq, train, objective, marks.value];
  const { live, found, loss } = useMemo(() => drawn(rows, train, objective), now);
  const n = found[0].length;
  const both = n > 0 && train.length > 0;
  const size = { width, height: Math.floor(height / (both ? 2 : 1)) };
  if (size.height < 40) return null;
  const [faint, accent, text] = ["--line-strong", "--accent", "--text"].map(token);
  const label = objective.name.split("@")[0] + (objective.unit ? ` (${objective.unit})` : "");
  const best = { width: 2, paths: uPlot.paths.stepped({ align: 1 }) };
  const lines = [dots("candidate", faint), line("median", text, { spanGaps: true }), line("best", accent, best)];
  const below = [line("loss", faint, { width: 1 }), line("smooth", text)];
  return html`
    ${n > 0 && html`<${Plot} key="values" data=${found} live=${live} size=${size}
      looks=${{ label, lines, log: log && !both, last: !both }}
      describe=${`${label} of ${n} candidates; best so far ${short(found[3].at(-1))}`} />`}
    ${train.length > 0 && html`<${Plot} key="loss" data=${loss} live=${live} size=${size}
      looks=${{ label: "loss", lines: below, log, last: true }}
      describe=${`Training loss, last ${short(train.at(-1).loss)}`} />`}`;
}

const LEGEND = { dot: "candidate", text: `median of ${BATCH}`, accent: "best so far", mark: "command", engine: "engine" };

export function View() {
  const { data, error } = useResource(series);
  const [ref, { width, height }] = useSize();
  const [log, setLog] = useState(false);
  const [rows, train, objective] = [candidates(), data?.train ?? [], objectives.value[0]];
  theme.value;
  const ready = data && objective && rows.count + train.length > 0;
  return html`<div class="timeline" data-testid="timeline">
    <div class="tools">
      <ul class="legend">${Object.entries(LEGEND).map(([kind, text]) =>
        html`<li><span class=${`key key-${kind}`}></span>${text}</li>`)}</ul>
      <span class="spring"></span>
      ${selection.value.time && html`<button class="button" onClick=${() => select({ time: null })}>All times</button>`}
      <label class="check"><input type="checkbox" checked=${log} onChange=${(e) => setLog(e.target.checked)} />
        Log</label>
    </div>
    <div class="plots" ref=${ref}>
      <span class="reading">${reading}</span>
      ${ready
        ? width > 0 && html`<${Plots} ...${{ rows, train, objective, log, width, height }} />`
        : html`<${Empty} title=${error ? "The timeline could not be read" : "Nothing has been measured yet"}>
            ${error ?? "Values appear here as the search goes on."}<//>`}
    </div>
  </div>`;
}
