// V3: every candidate as a point, where alike ones lie close together or where two measured quantities put them.

import { effect, html, signal, useContext, useEffect, useMemo, useRef } from "/static/vendor/preact.js";
import { ramp, theme, token } from "/static/colours.js";
import { say } from "/static/commands.js";
import { describe } from "/static/keys.js";
import { Empty, Shown, useSize } from "/static/panes.js";
import { Scatter, outline } from "/static/scatter.js";
import { candidates, focused, hovered, run, select, selectedCandidates, trust } from "/static/store.js";
import * as show from "/static/views/points.js";
import { short } from "/static/widgets.js";

const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const GLYPHS = { circle: "●", triangle: "▲", diamond: "◆", square: "■", plus: "✚" };

const tool = signal("Pan");
/** {x0, x1, y0, y1} that the person moved to, null for everything. */
const view = signal(null);
effect(() => void ([show.axes.value.x, show.axes.value.y, run.value?.run.name], (view.value = null)));

describe("Map", { "←↑→↓": "walk to the nearest candidate that way", Enter: "select it (with Shift: one more)",
  "+": "zoom in, - out, 0 to see everything", "Shift+drag": "select all in a box (with Alt: inside a line)" });

const active = () => hovered.value?.candidate ?? focused.value;
const seen = () => view.value ?? show.whole.value;

function zoom(by, [x, y] = [0.5, 0.5]) {
  const { x0, x1, y0, y1 } = seen();
  const [cx, cy] = [x0 + x * (x1 - x0), y0 + y * (y1 - y0)];
  view.value = { x0: cx + (x0 - cx) * by, x1: cx + (x1 - cx) * by, y0: cy + (y0 - cy) * by, y1: cy + (y1 - cy) * by };
}

/** Move what is seen of a view by a difference of two places in data coordinates. */
function move({ x0, x1, y0, y1 }, [ax, ay], [bx, by]) {
  view.value = { x0: x0 + bx - ax, x1: x1 + bx - ax, y0: y0 + by - ay, y1: y1 + by - ay };
}

function pick(id, more) {
  const known = more ? [...selectedCandidates.value] : [];
  const next = id === null || known.includes(id) ? known.filter((i) => i !== id) : [...known, id];
  select({ candidates: next });
}

// ---- drawing

const radius = (count) => (count > 8000 ? 2.2 : count > 1500 ? 3 : count > 300 ? 4 : 5);

function paint(scatter, over, { width, height }, line) {
  const points = show.points.value;
  scatter.set(width, height, radius(points.count), { ground: token("--raised"), grey: token("--line-strong"), ramp });
  scatter.draw(points, seen());
  Object.assign(over.canvas, { width: scatter.canvas.width, height: scatter.canvas.height });
  over.setTransform(scatter.scale, 0, 0, scatter.scale, 0, 0);
  over.font = `11px ${getComputedStyle(over.canvas).fontFamily}`;
  if (show.pair.value) paintAxes(scatter, over);
  if (show.front.value) {
    const front = show.front.value.map((row) => scatter.toScreen(points.x[row], points.y[row]));
    // A step lies on the worse side of both its corners: nothing better is known in between.
    stroke(over, front.flatMap(([x, y], i) => (i ? [[x, front[i - 1][1]], [x, y]] : [[x, y]])), "--text", 1.5);
  }
  paintMarks(scatter, over);
  if (line) {
    stroke(over, [...line, line[0]], "--accent", 1);
    Object.assign(over, { globalAlpha: 0.12, fillStyle: token("--accent") });
    over.fill();
  }
}

function stroke(over, line, colour, lineWidth, dash = []) {
  Object.assign(over, { strokeStyle: token(colour), lineWidth });
  over.setLineDash(dash);
  over.beginPath();
  for (const [x, y] of line) over.lineTo(x, y);
  over.stroke();
  over.setLineDash([]);
}

function label(over, text, x, y, textAlign, colour = "--muted") {
  Object.assign(over, { textAlign, fillStyle: token(colour), strokeStyle: token("--raised"), lineWidth: 3 });
  over.strokeText(text, x, y);
  over.fillText(text, x, y);
}

/** Return round numbers between two bounds. */
function ticks(low, high, most) {
  const unit = 10 ** Math.floor(Math.log10((high - low) / most));
  const step = [1, 2, 5, 10].map((k) => k * unit).find((s) => s * most >= high - low);
  return Array.from({ length: most + 1 }, (_, i) => (Math.ceil(low / step) + i) * step).filter((v) => v <= high);
}

function paintAxes(scatter, over) {
  const [{ x0, x1, y0, y1 }, { width, height }, { x, y }] = [seen(), scatter, show.pair.value];
  for (const v of ticks(x0, x1, Math.max(2, Math.floor(width / 110)))) {
    const [px] = scatter.toScreen(v, 0);
    stroke(over, [[px, height], [px, height - 4]], "--line-strong", 1);
    if (px > 48 && px < width - 24) label(over, short(v), px, height - 7, "center");
  }
  for (const v of ticks(y0, y1, Math.max(2, Math.floor(height / 50)))) {
    const [, py] = scatter.toScreen(0, v);
    stroke(over, [[0, py], [4, py]], "--line-strong", 1);
    if (py > 12 && py < height - 20) label(over, short(v), 7, py + 4, "left");
  }
  for (const { metric, bound, text } of run.value?.constraints ?? []) {
    const [px, py] = scatter.toScreen(bound, bound);
    const lines = [[x, px, [[px, 0], [px, height]], px - 4, 14], [y, py, [[0, py], [width, py]], width - 6, py - 4]];
    for (const [axis, at, line, ...place] of lines) {
      if (axis.name !== metric || at < 0 || at > (axis === x ? width : height)) continue;
      stroke(over, line, "--bad", 1, [5, 4]);
      label(over, text, ...place, "right", "--bad");
    }
  }
}

function paintMarks(scatter, over) {
  const [rows, { x, y }] = [candidates(), show.points.value];
  const ring = (id, wide, colour, lineWidth) => {
    const row = rows.rowOf.get(id);
    if (row === undefined || !Number.isFinite(x[row] + y[row])) return;
    outline(over, "circle", ...scatter.toScreen(x[row], y[row]), scatter.radius + wide);
    Object.assign(over, { strokeStyle: token(colour), lineWidth });
    over.stroke();
  };
  const pinned = rows.pinned.flatMap((is, row) => (is ? [rows.ids[row]] : []));
  for (const id of [...pinned, ...(trust.data.value?.anchors ?? []).map((a) => a.id)]) ring(id, 4, "--warn", 2);
  for (const id of selectedCandidates.value) ring(id, 1.5, "--accent", 1.5);
  ring(active(), 3, "--raised", 5);
  ring(active(), 3, "--text", 2);
}

// ---- pointer and keys

/** Return the handlers of the canvas; `redraw(line)` draws it again, with the line that a person draws. */
function handlers(scatter, redraw) {
  const at = ({ offsetX, offsetY }) => [offsetX, offsetY];
  const share = ({ offsetX, offsetY }) => [offsetX / scatter().width, 1 - offsetY / scatter().height];
  let drag = null;
  const hover = (event) => {
    const id = candidates().ids[scatter().nearest(...at(event))];
    if (id !== hovered.value?.candidate) hovered.value = id === undefined ? null : { candidate: id };
  };
  const onPointerDown = (event) => {
    if (event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    hover(event);
    const what = event.altKey ? "Lasso" : event.shiftKey ? "Box" : tool.value;
    drag = { what, view: seen(), line: [at(event)], far: false };
  };
  const onPointerMove = (event) => {
    if (!drag) return hover(event);
    const [[x, y], [fx, fy]] = [at(event), drag.line[0]];
    if (!(drag.far ||= Math.hypot(x - fx, y - fy) > 4)) return undefined;
    const place = (px, py) => scatter().toData(px, py, drag.view);
    if (drag.what === "Pan") return move(drag.view, place(x, y), place(fx, fy));
    drag.line = drag.what === "Box" ? [[fx, fy], [x, fy], [x, y], [fx, y]] : [...drag.line, [x, y]];
    return redraw(drag.line);
  };
  const onPointerUp = (event) => {
    if (!drag) return;
    const [{ what, far, line }, more] = [drag, event.ctrlKey || event.metaKey];
    drag = null;
    if (!far) pick(hovered.value?.candidate ?? null, more || event.shiftKey);
    else if (what !== "Pan") {
      const ids = scatter().inside(line).map((row) => candidates().ids[row]);
      select({ candidates: [...new Set([...(more ? selectedCandidates.value : []), ...ids])] });
      say(`${ids.length} candidates selected`);
    }
    redraw(null);
  };
  const onKeyDown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = { "+": 0.7, "=": 0.7, "-": 1 / 0.7 }[event.key];
    if (by) zoom(by);
    else if (event.key === "0") view.value = null;
    else if (KEYS[event.key]) walk(scatter(), KEYS[event.key]);
    else if (event.key === "Enter" || event.key === " ") pick(active(), event.shiftKey);
    else return;
    event.preventDefault();
  };
  return { onPointerDown, onPointerMove, onPointerUp, onPointerCancel: onPointerUp, onKeyDown,
    onPointerLeave: () => drag || (hovered.value = null),
    onDblClick: (event) => zoom(event.shiftKey ? 2 : 0.5, share(event)),
    onWheel: (event) => {
      event.preventDefault();
      zoom(1.0015 ** Math.max(-400, Math.min(400, event.deltaY)), share(event));
    } };
}

/** Move to the nearest candidate in a direction; from nowhere, to the one in the middle. */
function walk(scatter, direction) {
  const [rows, { x, y }, middle] = [candidates(), show.points.value, [scatter.width / 2, scatter.height / 2]];
  const from = rows.rowOf.get(active());
  const here = scatter.toScreen(x[from], y[from]);
  const next = Number.isFinite(here[0]) ? scatter.towards(...here, direction) : scatter.nearest(...middle, Infinity);
  if (next < 0) return say("no candidate further that way");
  hovered.value = { candidate: rows.ids[next] };
  const [px, py] = scatter.toScreen(x[next], y[next]);
  if (Math.abs(px - middle[0]) > middle[0] || Math.abs(py - middle[1]) > middle[1]) {
    move(seen(), scatter.toData(...middle), [x[next], y[next]]);
  }
  const { name } = show.colouring.value;
  return say(`candidate ${rows.ids[next]}, ${name} ${short(show.column(rows, name)[next])}`);
}

// ---- the view

/** A list to choose a quantity from, for an axis or the colour; `more` is [[value, text], ...] to choose besides. */
function Choice({ label, name, value, more = [] }) {
  const set = (event) => (show.axes.value = { ...show.axes.value, [name]: event.target.value });
  const options = [...more, ...show.quantities.value.map((q) => [q.name, q.name])];
  return html`<select class="field" aria-label=${label} title=${label} value=${value} onChange=${set}>
    ${options.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === value}>${text}</option>`)}
  </select>`;
}

function Tools() {
  const [{ share }, { x, y }] = [show.structure.value ?? {}, show.pair.value ?? {}];
  return html`<div class="tools map-tools">
    <${Choice} label="Horizontal axis" name="x" value=${x?.name ?? show.axes.value.x}
      more=${Object.entries(show.STRUCTURE)} />
    ${y && html`× <${Choice} label="Vertical axis" name="y" value=${y.name} />`}
    ${share && html`<span class="muted" title="Share of the differences between architectures that each axis shows"
      >${share.map((s) => `${Math.round(100 * s)} %`).join(" + ")}</span>`}
    <span class="spring"></span>
    <div class="buttons" role="group" aria-label="What dragging does">
      ${["Pan", "Box", "Lasso"].map((name) => html`<button class="button-plain" aria-pressed=${tool.value === name}
        onClick=${() => (tool.value = name)}>${name}</button>`)}
    </div>
    <button class="button-plain" title="See everything (0)" onClick=${() => (view.value = null)}>Fit</button>
  </div>`;
}

function Legend() {
  const [scale, swap] = [show.scale.value, show.colouring.value.direction === "min"];
  const steps = Array.from({ length: 9 }, (_, i) => ramp(i / 8)).join(",");
  return html`<div class="map-legend muted">
    <${Choice} label="Colour" name="colour" value=${show.colouring.value.name} />
    ${scale && html`<span class="num">${swap ? "≥ " : "≤ "}${short(swap ? scale.high : scale.low)}
      <span class="map-ramp" style=${{ background: `linear-gradient(90deg, ${steps})` }}></span>
      ${short(swap ? scale.low : scale.high)}</span>`}
    ${show.origins.value.map(([name, shape]) => html`<span>${GLYPHS[shape]} ${name}</span>`)}
    <span title="Hollow: not measured yet, or a constraint is broken">○ unmeasured</span>
  </div>`;
}

/** What the map shows, for those who do not see it. */
function summary() {
  const { pair, axes, colouring, scale, front } = show;
  const where = pair.value ? `${pair.value.x.name} against ${pair.value.y.name}` : show.STRUCTURE[axes.value.x];
  return [`${candidates().count} candidates by ${where}`,
    scale.value && `${colouring.value.name} from ${short(scale.value.low)} to ${short(scale.value.high)}`,
    run.value?.best && `the best is candidate ${run.value.best.id}`,
    front.value && `${front.value.length} on the Pareto front`, `${selectedCandidates.value.size} selected`,
    "the table of candidates says the same"].filter(Boolean).join("; ");
}

export function View() {
  const shown = useContext(Shown);
  const [box, size] = useSize();
  const [lower, upper] = [useRef(null), useRef(null)];
  const own = useMemo(() => ({ scatter: null, line: null, redraw: () => {} }), []);
  const events = useMemo(() => handlers(() => own.scatter, (line) => ((own.line = line), own.redraw())), []);
  useEffect(() => (shown ? effect(() => void show.locate()) : undefined), [shown]);
  useEffect(() => {
    if (!shown || !size.width || !size.height) return undefined;
    own.scatter ??= new Scatter(lower.current);
    let frame = 0;
    const draw = () => ((frame = 0), paint(own.scatter, upper.current.getContext("2d"), size, own.line));
    own.redraw = () => (frame ||= requestAnimationFrame(draw));
    // Whatever the drawing depends on asks for another frame.
    const stop = effect(() => own.redraw(theme.value, seen(), show.points.value, show.front.value, active(),
      selectedCandidates.value, run.value?.constraints, trust.data.value));
    return () => (stop(), cancelAnimationFrame(frame));
  }, [shown, size.width, size.height]);
  useEffect(() => {
    upper.current.addEventListener("wheel", events.onWheel, { passive: false });
    // For whoever wants to point at a candidate: where it lies on the canvas.
    upper.current.placeOf = (id) => {
      const [row, { x, y }] = [candidates().rowOf.get(id), show.points.value];
      return own.scatter?.toScreen(x[row], y[row], seen()) ?? [NaN, NaN];
    };
  }, []);
  const { count } = candidates();
  return html`<${Tools} />
    <div class="map-plane" ref=${box}>
      <canvas ref=${lower} aria-hidden="true"></canvas>
      <canvas class=${`map-over map-${tool.value.toLowerCase()}`} ref=${upper} tabindex="0" role="application"
        aria-label="Candidate map" aria-describedby="map-summary" data-testid="map" data-count=${count}
        data-active=${active() ?? ""} ...${{ ...events, onWheel: undefined }}></canvas>
      ${count === 0 && html`<${Empty} title="No candidate yet">Each one appears here as it is proposed.<//>`}
    </div>
    <${Legend} />
    <p class="unseen" id="map-summary">${summary()}</p>`;
}
