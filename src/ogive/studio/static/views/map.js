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

const CLICK = 4;
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const TOOLS = { Pan: "M8 1l2 2.5H9V7h3.500V6L15 8l-2.500 2V9H9v3.500h1L8 15l-2-2.500h1V9H3.500v1L1 8l2.500-2v1H7V3.500H6z",
  Box: "M2 3h12v10H2zM3.500 4.500v7h9v-7z", Lasso: "M8 2.500c3.500 0 6 1.600 6 4s-2.500 4-6 4c-.8 0-1.500-.1-2.200-.2-.1 1.600-1 2.700-2.600 3.200l-.5-1.400c1-.3 1.500-1 1.600-2.200C2.900 9.100 2 7.900 2 6.500c0-2.400 2.500-4 6-4zm0 1.500c-2.700 0-4.500 1.100-4.500 2.500S5.300 9 8 9s4.500-1.100 4.500-2.500S10.700 4 8 4z" };

const tool = signal("Pan");
/** {x0, x1, y0, y1} that the person moved to, null for everything. */
const view = signal(null);
effect(() => {
  show.axes.value;
  run.value?.run.name;
  view.value = null;
});

describe("Map", {
  "←↑→↓": "walk to the nearest candidate that way",
  Enter: "pick it (with Shift: one more)",
  "+": "zoom in, - out, 0 to see everything",
  "Shift+drag": "pick all in a box (with Alt: in any line)",
});

const active = () => hovered.value?.candidate ?? focused.value;
const seen = () => view.value ?? show.whole.value;

function zoom(by, [x, y] = [0.5, 0.5]) {
  const { x0, x1, y0, y1 } = seen();
  const [cx, cy] = [x0 + x * (x1 - x0), y0 + y * (y1 - y0)];
  view.value = { x0: cx + (x0 - cx) * by, x1: cx + (x1 - cx) * by, y0: cy + (y0 - cy) * by, y1: cy + (y1 - cy) * by };
}

function pick(id, more) {
  const known = [...selectedCandidates.value];
  if (!more) select({ candidates: id === null ? [] : [id] });
  else if (id !== null) select({ candidates: known.includes(id) ? known.filter((i) => i !== id) : [...known, id] });
}

/** Say a candidate in words. */
export function described(row) {
  const rows = candidates();
  const { name } = show.colouring.value;
  return `candidate ${rows.ids[row]}, ${name} ${short(show.column(rows, name)[row])}, ${rows.origin[row] ?? ""}`;
}

// ---- drawing

function radius(count) {
  return count > 8000 ? 2.2 : count > 1500 ? 3 : count > 300 ? 4 : 5;
}

function paint(scatter, over, size, line) {
  const colours = { ground: token("--raised"), grey: token("--line-strong"), ramp };
  scatter.set(size.width, size.height, radius(show.points.value.count), colours);
  scatter.draw(show.points.value, seen());
  over.canvas.width = scatter.canvas.width;
  over.canvas.height = scatter.canvas.height;
  over.setTransform(scatter.scale, 0, 0, scatter.scale, 0, 0);
  over.font = `11px ${getComputedStyle(over.canvas).fontFamily}`;
  if (show.pair.value) paintAxes(scatter, over);
  paintBounds(scatter, over);
  paintFront(scatter, over);
  paintMarks(scatter, over);
  if (line) paintLine(over, line);
}

/** Return round numbers between two bounds. */
function ticks(low, high, most) {
  const raw = (high - low) / most;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * unit).find((s) => s >= raw);
  return Array.from({ length: most + 1 }, (_, i) => (Math.ceil(low / step) + i) * step).filter((v) => v <= high);
}

function paintAxes(scatter, over) {
  const { x0, x1, y0, y1 } = seen();
  const { width, height } = scatter;
  Object.assign(over, { fillStyle: token("--muted"), strokeStyle: token("--line-strong"), lineWidth: 1 });
  const label = (text, x, y, align = "left") => {
    over.textAlign = align;
    over.strokeStyle = token("--raised");
    over.lineWidth = 3;
    over.strokeText(text, x, y);
    over.fillText(text, x, y);
  };
  for (const v of ticks(x0, x1, Math.max(2, Math.floor(width / 110)))) {
    const [x] = scatter.toScreen(v, 0);
    over.fillRect(x, height - 4, 1, 4);
    if (x > 48 && x < width - 90) label(short(v), x, height - 7, "center");
  }
  for (const v of ticks(y0, y1, Math.max(2, Math.floor(height / 50)))) {
    const [, y] = scatter.toScreen(0, v);
    over.fillRect(0, y, 4, 1);
    if (y > 28 && y < height - 20) label(short(v), 7, y + 4);
  }
  const { x, y } = show.pair.value;
  label(named(x), width - 6, height - 7, "right");
  label(named(y), 7, 14);
}

const named = ({ name, unit, direction }) =>
  [name, unit && `(${unit})`, direction === "max" ? "↑" : direction === "min" ? "↓" : ""].filter(Boolean).join(" ");

function paintBounds(scatter, over) {
  const { x, y } = show.pair.value ?? {};
  Object.assign(over, { strokeStyle: token("--bad"), fillStyle: token("--bad"), lineWidth: 1, textAlign: "right" });
  over.setLineDash([5, 4]);
  for (const { metric, bound, text } of run.value?.constraints ?? []) {
    const [px, py] = scatter.toScreen(bound, bound);
    over.beginPath();
    if (metric === x?.name) (over.moveTo(px, 0), over.lineTo(px, scatter.height), over.fillText(text, px - 4, 14));
    if (metric === y?.name) {
      over.moveTo(0, py);
      over.lineTo(scatter.width, py);
      over.fillText(text, scatter.width - 6, py - 4);
    }
    over.stroke();
  }
  over.setLineDash([]);
}

function paintFront(scatter, over) {
  const rows = show.front.value;
  if (!rows) return;
  const { x, y } = show.points.value;
  Object.assign(over, { strokeStyle: token("--text"), lineWidth: 1.5 });
  over.beginPath();
  rows.map((row) => scatter.toScreen(x[row], y[row])).forEach(([px, py], i, all) => {
    // A step lies on the worse side of both corners: nothing between them is attained.
    if (i && show.pair.value.x.direction) over.lineTo(px, all[i - 1][1]);
    over.lineTo(px, py);
  });
  over.stroke();
}

function paintMarks(scatter, over) {
  const rows = candidates();
  const { x, y } = show.points.value;
  const r = scatter.radius / scatter.scale;
  const ring = (id, wide, style, lineWidth) => {
    const row = rows.rowOf.get(id);
    if (row === undefined || Number.isNaN(x[row])) return;
    Object.assign(over, { strokeStyle: token(style), lineWidth });
    outline(over, "circle", ...scatter.toScreen(x[row], y[row]), r + wide);
    over.stroke();
  };
  const anchors = trust.data.value?.anchors?.map((anchor) => anchor.id) ?? [];
  const pinned = [...rows.rowOf].filter(([, row]) => rows.pinned?.[row]).map(([id]) => id);
  for (const id of [...anchors, ...pinned]) ring(id, 4, "--warn", 2);
  for (const id of selectedCandidates.value) ring(id, 1.5, "--accent", 1.5);
  if (active() !== null) {
    ring(active(), 3, "--raised", 5);
    ring(active(), 3, "--text", 2);
  }
}

function paintLine(over, line) {
  Object.assign(over, { strokeStyle: token("--accent"), fillStyle: token("--accent"), lineWidth: 1 });
  over.beginPath();
  line.forEach(([x, y]) => over.lineTo(x, y));
  over.closePath();
  over.globalAlpha = 0.12;
  over.fill();
  over.globalAlpha = 1;
  over.stroke();
}

// ---- pointer and keys

/** Return the handlers of the canvas; `redraw(line)` draws it again, with the line that a person draws around points. */
function handlers(scatter, redraw) {
  const at = ({ offsetX, offsetY }) => [offsetX, offsetY];
  let drag = null;
  const hover = (event) => {
    const row = scatter().nearest(...at(event));
    const id = row < 0 ? null : candidates().ids[row];
    if (id !== (hovered.value?.candidate ?? null)) hovered.value = id === null ? null : { candidate: id };
  };
  const onPointerDown = (event) => {
    if (event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    const what = event.altKey ? "Lasso" : event.shiftKey ? "Box" : tool.value;
    drag = { what, from: at(event), view: seen(), line: [at(event)], far: false };
  };
  const onPointerMove = (event) => {
    if (!drag) return hover(event);
    const [[x, y], [fx, fy]] = [at(event), drag.from];
    drag.far ||= Math.hypot(x - fx, y - fy) > CLICK;
    if (!drag.far) return undefined;
    if (drag.what === "Pan") {
      const [[ax, ay], [bx, by]] = [scatter().toData(fx, fy, drag.view), scatter().toData(x, y, drag.view)];
      const { x0, x1, y0, y1 } = drag.view;
      return (view.value = { x0: x0 + ax - bx, x1: x1 + ax - bx, y0: y0 + ay - by, y1: y1 + ay - by });
    }
    drag.line = drag.what === "Box" ? [[fx, fy], [x, fy], [x, y], [fx, y]] : [...drag.line, [x, y]];
    return redraw(drag.line);
  };
  const onPointerUp = (event) => {
    if (!drag) return;
    const { what, far, line } = drag;
    drag = null;
    if (!far) pick(hovered.value?.candidate ?? null, event.ctrlKey || event.metaKey || event.shiftKey);
    else if (what !== "Pan") {
      const ids = scatter().inside(line).map((row) => candidates().ids[row]);
      const before = event.ctrlKey || event.metaKey ? [...selectedCandidates.value] : [];
      select({ candidates: [...new Set([...before, ...ids])] });
      say(`${ids.length} candidates selected`);
    }
    redraw(null);
  };
  const share = (event) => [event.offsetX / scatter().width, 1 - event.offsetY / scatter().height];
  const onKeyDown = (event) => {
    const change = { "+": 0.7, "=": 0.7, "-": 1 / 0.7 }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (change) zoom(change);
    else if (event.key === "0") view.value = null;
    else if (KEYS[event.key]) walk(scatter(), KEYS[event.key]);
    else if (event.key === "Enter" || event.key === " ") pick(active(), event.shiftKey);
    else return;
    event.preventDefault();
  };
  return {
    onPointerDown,
    onPointerMove,
    onPointerUp,
    onPointerCancel: onPointerUp,
    onPointerLeave: () => drag || (hovered.value = null),
    onDblClick: (event) => zoom(event.shiftKey ? 2 : 0.5, share(event)),
    onWheel: (event) => {
      event.preventDefault();
      zoom(1.0015 ** Math.max(-400, Math.min(400, event.deltaY)), share(event));
    },
    onKeyDown,
  };
}

/** Move to the nearest candidate in a direction; from nowhere, to the one in the middle. */
function walk(scatter, direction) {
  const { x, y } = show.points.value;
  const now = candidates().rowOf.get(active());
  const middle = [scatter.width / 2, scatter.height / 2];
  const next = now === undefined || Number.isNaN(x[now])
    ? scatter.nearest(...middle, Infinity)
    : scatter.towards(...scatter.toScreen(x[now], y[now]), direction);
  if (next < 0) return say("no candidate further that way");
  hovered.value = { candidate: candidates().ids[next] };
  const [px, py] = scatter.toScreen(x[next], y[next]);
  if (px < 0 || py < 0 || px > scatter.width || py > scatter.height) {
    const [[ax, ay], { x0, x1, y0, y1 }] = [scatter.toData(...middle), seen()];
    const [dx, dy] = [x[next] - ax, y[next] - ay];
    view.value = { x0: x0 + dx, x1: x1 + dx, y0: y0 + dy, y1: y1 + dy };
  }
  return say(described(next));
}

// ---- the view

function Choice({ label, value, options, onChange }) {
  return html`<select class="field" aria-label=${label} title=${label} value=${value}
    onChange=${(event) => onChange(event.target.value)}>
    ${options.map(([key, text]) => html`<option value=${key} selected=${key === value}>${text}</option>`)}
  </select>`;
}

function Tools() {
  const { axes, pair, quantities, coloured, colouring } = show;
  const set = (change) => (axes.value = { ...axes.value, ...change });
  const names = quantities.value.map((q) => [q.name, q.name]);
  return html`<div class="tools map-tools">
    <${Choice} label="Axes" value=${axes.value.kind} onChange=${(kind) => set({ kind })}
      options=${[...Object.entries(show.STRUCTURE), ["two", "two quantities"]]} />
    ${pair.value && html`<${Choice} label="Horizontal axis" value=${pair.value.x.name} options=${names}
        onChange=${(x) => set({ x })} />
      <${Choice} label="Vertical axis" value=${pair.value.y.name} options=${names} onChange=${(y) => set({ y })} />`}
    <label class="map-colour">Colour <${Choice} label="Colour" value=${colouring.value.name} options=${names}
      onChange=${(name) => (coloured.value = name)} /></label>
    <span class="spring"></span>
    <div class="buttons" role="group" aria-label="What dragging does">
      ${Object.entries(TOOLS).map(([name, path]) => html`<button class="button-plain" aria-label=${name} title=${name}
        aria-pressed=${tool.value === name} onClick=${() => (tool.value = name)}>
        <svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path fill-rule="evenodd" d=${path} /></svg></button>`)}
      <button class="button-plain" title="See everything (0)" onClick=${() => (view.value = null)}>Fit</button>
    </div>
  </div>`;
}

function Legend() {
  const scale = show.scale.value;
  const steps = Array.from({ length: 9 }, (_, i) => ramp(i / 8)).join(",");
  const swap = show.colouring.value.direction === "min";
  theme.value;
  return html`<div class="map-legend muted">
    ${scale && html`<span class="map-scale"><span class="num">${short(swap ? scale.high : scale.low)}</span>
      <span class="map-ramp" style=${{ background: `linear-gradient(90deg, ${steps})` }}></span>
      <span class="num">${short(swap ? scale.low : scale.high)}</span></span>`}
    ${show.origins.value.map(([name, shape]) => html`<span><${Glyph} shape=${shape} /> ${name}</span>`)}
    <span><${Glyph} shape="circle" hollow /> not measured</span>
    ${show.share.value && html`<span class="spring"></span><span>axes hold ${show.share.value
      .map((s) => `${Math.round(100 * s)} %`).join(" + ")} of the differences</span>`}
  </div>`;
}

function Glyph({ shape, hollow }) {
  const draw = (canvas) => {
    if (!canvas) return;
    const context = canvas.getContext("2d");
    context.setTransform(2, 0, 0, 2, 0, 0);
    context.clearRect(0, 0, 12, 12);
    outline(context, shape, 6, 6, 4);
    context.fillStyle = context.strokeStyle = token("--muted");
    if (hollow) context.stroke();
    else context.fill();
  };
  return html`<canvas class="map-glyph" width="24" height="24" ref=${draw} aria-hidden="true"></canvas>`;
}

/** What the map shows, for those who do not see it. */
function summary() {
  const rows = candidates();
  const { pair, axes, colouring, scale, front } = show;
  const where = pair.value ? `${pair.value.x.name} against ${pair.value.y.name}` : show.STRUCTURE[axes.value.kind];
  const best = run.value?.best;
  const values = scale.value && `${colouring.value.name} from ${short(scale.value.low)} to ${short(scale.value.high)}`;
  return [`${rows.count} candidates by ${where}`, values, best && `best is candidate ${best.id}`,
    front.value && `${front.value.length} on the Pareto front`, `${selectedCandidates.value.size} selected`,
    "the table of candidates holds the same"].filter(Boolean).join("; ");
}

export function View() {
  const shown = useContext(Shown);
  const [box, size] = useSize();
  const lower = useRef(null);
  const upper = useRef(null);
  const state = useMemo(() => ({ scatter: null, line: null, frame: 0, redraw: null }), []);
  const events = useMemo(() => handlers(() => state.scatter, (line) => ((state.line = line), state.redraw?.())), []);
  useEffect(() => (shown ? effect(() => void (candidates(), run.value?.rev, show.locate())) : undefined), [shown]);
  useEffect(() => {
    if (!shown || !size.width || !size.height) return undefined;
    state.scatter ??= new Scatter(lower.current);
    const over = upper.current.getContext("2d");
    const draw = () => {
      state.frame = 0;
      paint(state.scatter, over, size, state.line);
    };
    state.redraw = () => (state.frame ||= requestAnimationFrame(draw));
    // Whatever the drawing depends on asks for another frame.
    const stop = effect(() => {
      [theme.value, view.value, show.points.value, show.whole.value, show.front.value, selectedCandidates.value];
      [active(), run.value?.constraints, trust.data.value];
      state.redraw();
    });
    return () => (stop(), cancelAnimationFrame(state.frame), (state.frame = 0));
  }, [shown, size.width, size.height]);
  useEffect(() => {
    const { onWheel } = events;
    upper.current.addEventListener("wheel", onWheel, { passive: false });
    upper.current.placeOf = (id) => {
      const row = candidates().rowOf.get(id);
      return state.scatter.toScreen(show.points.value.x[row], show.points.value.y[row]);
    };
  }, []);
  const { onWheel, ...rest } = events;
  const count = candidates().count;
  return html`<${Tools} />
    <div class="map-plane" ref=${box}>
      <canvas class="map-points" ref=${lower} aria-hidden="true"></canvas>
      <canvas class=${`map-over map-${tool.value.toLowerCase()}`} ref=${upper} tabindex="0" role="application"
        aria-label="Candidate map" aria-describedby="map-summary" data-testid="map" data-count=${count}
        data-active=${active() ?? ""} ...${rest}></canvas>
      ${count === 0 && html`<${Empty} title="No candidate yet">Each one appears here as it is proposed.<//>`}
    </div>
    <${Legend} />
    <p class="unseen" id="map-summary">${summary()}</p>`;
}
