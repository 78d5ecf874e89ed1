// The template canvas: the drawing in layers from left to right, to look at, to walk through and to change.

import { computed, html, signal, useLayoutEffect, useMemo, useRef } from "/static/vendor/preact.js";
import { pending, say } from "/static/commands.js";
import { actionsOn, attempt, dragged, elementOf, endLink, isSteerable, linking, open, parts } from "/static/editing.js";
import { pick, placeOf, popup, press, refusal, startLink } from "/static/editing.js";
import { Usage, line, nameOf, neighbour, signed, usedBy } from "/static/graph.js";
import { describe } from "/static/keys.js";
import { Edge, Group, Node } from "/static/marks.js";
import { Hint, Menu, Popup } from "/static/menu.js";
import { Empty, useResource, useSize } from "/static/panes.js";
import { candidates, drawing, evidence, hovered, markedParts } from "/static/store.js";
import { run, select, selectedNodes, selection } from "/static/store.js";

const MOST = 4;
const READABLE = 0.45;
const FAR = 0.4;
const NEAR = 1.5;

/** Where the drawing lies on the canvas: a point p is drawn at k p + (x, y). */
const camera = signal({ k: 1, x: 0, y: 0 });
const transform = computed(() => `translate(${camera.value.x},${camera.value.y}) scale(${camera.value.k})`);
/** Text keeps its size on the screen where blocks shrink, in steps, so that zooming does not redraw all the time. */
const scale = computed(() => Math.max(0.05, Math.round(camera.value.k * 20) / 20));
/** The part that Tab leads to. */
const active = signal(null);
let fitted = null;

describe("Template", {
  Arrows: "follow the edges; up and down within a layer",
  e: "go to an edge of the block",
  Enter: "select (with Shift: select more)",
  l: "lock",
  x: "exclude",
  f: "free",
  n: "nudge: prefer or avoid",
  c: "connect: choose the target, then Enter",
  o: "make an edge optional or fixed",
  d: "duplicate a group beside itself (D: behind)",
  Delete: "remove from the drawing",
  "Shift+F10": "menu of all this",
  "+ − 0": "zoom in, zoom out, fit",
});

/** The zoom at which all of the drawing is in sight. */
function whole({ width, height }) {
  const { layout } = drawing.value;
  return Math.min(width / layout.width, height / layout.height);
}

/** Zoom by a factor about a point of the canvas. */
function zoom(factor, size, [x, y] = [size.width / 2, size.height / 2]) {
  const old = camera.value;
  const next = Math.min(MOST, Math.max(Math.min(READABLE, whole(size)) * 0.9, old.k * factor));
  camera.value = { k: next, x: x - ((x - old.x) * next) / old.k, y: y - ((y - old.y) * next) / old.k };
}

/** Show all of the drawing, or from its left end on what can be read of it. */
function fit({ width, height }) {
  const { layout } = drawing.value;
  const k = Math.min(1.25, Math.max(whole({ width, height }), READABLE));
  const left = (space, size) => (size * k > space ? 0 : (space - size * k) / 2);
  camera.value = fitted = { k, x: left(width, layout.width), y: (height - layout.height * k) / 2 };
}

/** Bring a part into sight. */
function show(id, { width, height }) {
  const { box } = parts.value.get(id);
  const { k, x, y } = camera.value;
  const shift = (from, size, space) => Math.max(16 - from, 0) || Math.min(space - 16 - from - size, 0);
  const [dx, dy] = [shift(box.x * k + x, box.w * k, width), shift(box.y * k + y, box.h * k, height)];
  if (dx || dy) camera.value = { k, x: x + dx, y: y + dy };
}

/** Return what the marks need to know of every part: {about, marks, share, ring, shape}. */
function useFacts(all) {
  const rows = candidates();
  const { data } = useResource(evidence);
  const usage = useMemo(() => new Usage(all), [all]).take(rows);
  const known = useMemo(() => new Map(data?.options.map((o) => [o.id, o])), [data]);
  const marked = markedParts.value;
  const path = useMemo(() => (marked.size ? usedBy(all, usage.order, marked) : new Set()), [all, marked]);
  const named = new Set(pending.value.flatMap(({ args }) => args.node ?? args.choice ?? []));
  const measured = ({ id }) => known.get(id)?.n ?? usage.of(id);
  const most = Math.max(1, ...[...all.values()].filter((p) => p.group).map(measured));
  const { nudges } = run.value;
  const over = dragged.value?.over ?? null;
  return (part) => {
    const { id, kind, item, group } = part;
    const evidenced = known.get(id);
    const n = measured(part);
    const fitness = evidenced?.n > 0 ? evidenced.fitness : null;
    const siblings = group ? all.get(group).item.options.map((o) => all.get(o).item) : [];
    const locked = siblings.filter((s) => s.status === "locked").length;
    return {
      about: { fitness, n: isSteerable(part) ? n : undefined, nudge: nudges[id] },
      share: usage.share(id),
      ring: group ? Math.sqrt(n / most) : 0,
      shape: kind === "edge" ? shapeOf(all, all.get(item.source)) : null,
      marks: {
        selected: selectedNodes.value.has(id) || (selection.value.group === id && !selectedNodes.value.size),
        marked: marked.has(id),
        used: path.has(id),
        idle: group && item.status === "free" && locked >= all.get(group).item.cardinality[1],
        pending: named.has(id),
        target: over === id || (over !== null && kind === "group" && all.get(over)?.group === id),
      },
    };
  };
}

/** Return the shapes of what a node or group gives. */
function shapeOf(all, { kind, item }) {
  const shapes = kind === "group" ? item.options.map((option) => all.get(option).item.shape) : [item.shape];
  return [...new Set(shapes.filter(Boolean).flatMap((shape) => shape.split(" | ")))].join(" | ");
}

function Drawing() {
  const all = parts.value;
  const factsOf = useFacts(all);
  const k = scale.value;
  const level = k < FAR ? "far" : k < NEAR ? "middle" : "near";
  const text = Math.min(22, Math.max(12, 10 / k));
  const look = { level, scale: k, text, active: active.value, editable: drawing.value.template.editable };
  const props = (part) => ({ key: part.id, part, look, ...factsOf(part) });
  const of = (kind) => [...all.values()].filter((part) => part.kind === kind);
  const link = linking.value;
  const start = all.get(link?.source)?.box;
  return html`<g transform=${transform} class=${`level-${level}`}>
    ${of("group").map((part) => html`<${Group} ...${props(part)} />`)}
    ${of("edge").map((part) => html`<${Edge} ...${props(part)} />`)}
    ${of("node").map((part) => html`<${Node} ...${props(part)} />`)}
    ${start && html`<path class="link" d=${line([[start.x + start.w, start.y + start.h / 2], [link.x, link.y]])} />`}
  </g>`;
}

/** Return the handlers of the canvas; `size` is that of the element. */
function handlers(ref, size) {
  const partAt = (event) => event.target.closest?.("[data-part]")?.dataset.part ?? null;
  const local = ({ clientX, clientY }) => {
    const box = ref.current.getBoundingClientRect();
    return [clientX - box.left, clientY - box.top];
  };
  const inDrawing = (event) => {
    const [x, y] = local(event);
    const { k, ...at } = camera.value;
    return { x: (x - at.x) / k, y: (y - at.y) / k };
  };
  const place = ({ clientX, clientY }) => ({ x: clientX, y: clientY });
  const go = (id) => {
    active.value = id;
    elementOf(id)?.focus({ preventScroll: true });
    show(id, size);
    if (linking.value) {
      const { box } = parts.value.get(id);
      linking.value = { ...linking.value, x: box.x, y: box.y + box.h / 2 };
    }
  };
  let moved = false;

  return {
    onPointerDown(down) {
      moved = false;
      if (down.button !== 0 || linking.value) return;
      const id = partAt(down);
      const before = camera.value;
      const done = new AbortController();
      const listening = { signal: done.signal };
      const drawsEdge = id !== null && "port" in down.target.dataset;
      if (id !== null && !drawsEdge) return;
      const move = (event) => {
        const [dx, dy] = [event.clientX - down.clientX, event.clientY - down.clientY];
        if (!moved && Math.hypot(dx, dy) < 4) return;
        moved = true;
        if (!drawsEdge) camera.value = { k: before.k, x: before.x + dx, y: before.y + dy };
        else if (linking.value) linking.value = { ...linking.value, ...inDrawing(event) };
        else startLink(id, inDrawing(event));
      };
      const up = (event) => {
        done.abort();
        if (drawsEdge && linking.value) endLink(event.type === "pointerup" ? partAt(event) : null, place(event));
      };
      addEventListener("pointermove", move, listening);
      addEventListener("pointerup", up, listening);
      addEventListener("pointercancel", up, listening);
    },
    onPointerMove(event) {
      if (linking.value) linking.value = { ...linking.value, ...inDrawing(event) };
    },
    onPointerOver(event) {
      const id = partAt(event);
      hovered.value = id === null ? null : { node: id };
    },
    onPointerLeave() {
      hovered.value = null;
    },
    onClick(event) {
      const id = partAt(event);
      if (moved) return;
      refusal.value = null;
      if (linking.value) endLink(id, place(event));
      else if (id === null) select({ nodes: [], group: null });
      else pick(id, event.shiftKey || event.ctrlKey || event.metaKey);
    },
    onContextMenu(event) {
      const id = partAt(event);
      if (id === null) return;
      event.preventDefault();
      active.value = id;
      elementOf(id).focus({ preventScroll: true });
      open("menu", id, event.clientX || event.clientY ? place(event) : placeOf(id));
    },
    onFocusIn(event) {
      const id = partAt(event);
      if (id === null) return;
      active.value = id;
      if (event.target.matches(":focus-visible")) show(id, size);
    },
    onWheel(event) {
      event.preventDefault();
      zoom(Math.exp(-event.deltaY * 0.0015), size, local(event));
    },
    onKeyDown(event) {
      const id = partAt(event);
      if (id === null || event.ctrlKey || event.metaKey || event.altKey) return;
      if (!pressed(event, id, go, size)) return;
      event.preventDefault();
      event.stopPropagation();
    },
  };
}

/** Do what a key stands for while a part has the focus; returns whether it stands for something. */
function pressed({ key, shiftKey }, id, go, size) {
  const all = parts.value;
  const [first, last] = [...all.values()].filter((p) => p.kind === "node").map((p) => p.id).reduce(ends, []);
  if (key.startsWith("Arrow")) go(neighbour(all, id, key, linking.value !== null));
  else if (key === "Home") go(first);
  else if (key === "End") go(last);
  else if (key === "e" && all.get(id).kind !== "edge") go([...all.get(id).outs, ...all.get(id).ins][0] ?? id);
  else if (linking.value && (key === "Enter" || key === " " || key === "c")) endLink(id, placeOf(id));
  else if (linking.value && key === "Escape") {
    linking.value = null;
    say("No edge drawn.");
  } else if (key === "Enter" || key === " ") pick(id, shiftKey);
  else if (key === "ContextMenu" || (key === "F10" && shiftKey)) open("menu", id, placeOf(id));
  else if (key === "+" || key === "=") zoom(1.25, size);
  else if (key === "-") zoom(0.8, size);
  else if (key === "0") fit(size);
  else if (key === "Escape" && refusal.value) refusal.value = null;
  else return press(key === "Backspace" ? "Delete" : key, id);
  return true;
}

const ends = ([first, last], id) => {
  const x = (name) => parts.value.get(name).box.x;
  return [first === undefined || x(id) < x(first) ? id : first, last === undefined || x(id) > x(last) ? id : last];
};

function Nudge({ id, place, close }) {
  const value = useMemo(() => signal(run.value.nudges[id] ?? 0), [id]);
  const apply = (h) => {
    close();
    attempt("nudge", { node: [id], h }, place);
  };
  return html`<${Popup} place=${place} role="dialog" label=${`Nudge ${id}`} close=${close}
    onKeyDown=${({ key, target }) => key === "Enter" && target.matches("input") && apply(value.value)}>
    <div class="nudge-form">
      <label>Preference for ${id} <output>${value.value ? signed(value.value) : "0"}</output>
        <input type="range" min="-1" max="1" step="0.1" value=${value}
          onInput=${(event) => (value.value = Number(event.target.value))} /></label>
      <div class="row"><span class="muted">avoid</span><span class="muted">prefer</span></div>
      <div class="row">
        <button class="button-main" onClick=${() => apply(value.value)}>Apply</button>
        <button class="button" onClick=${() => apply(0)}>Take back</button>
      </div>
    </div>
  <//>`;
}

function Overlay() {
  const { value } = popup;
  const close = () => (popup.value = null);
  const part = value && parts.value.get(value.id);
  const said = refusal.value;
  return html`
    ${part && value.kind === "menu" && html`<${Menu}
      key=${value.id} place=${value} label=${nameOf(part)} items=${actionsOn(part)} close=${close} />`}
    ${part && value.kind === "nudge" && html`<${Nudge}
      key=${value.id} id=${value.id} place=${value} close=${close} />`}
    ${said && html`<${Hint} place=${said} testid="refusal">${said.text}<//>`}
  `;
}

function Tools({ size }) {
  const link = linking.value;
  return html`<div class="tools canvas-tools">
    <button class="button-plain" title="Zoom out (-)" aria-label="Zoom out" onClick=${() => zoom(0.8, size)}>−</button>
    <button class="button-plain" title="Zoom in (+)" aria-label="Zoom in" onClick=${() => zoom(1.25, size)}>+</button>
    <button class="button-plain" title="Show all (0)" onClick=${() => fit(size)}>Fit</button>
    <span class="muted canvas-hint">
      ${link ? `Connect ${link.source}: choose its target, Escape leaves it.` : "bar: fitness · border: n · line: share"}
    </span>
  </div>`;
}

/** Where the part that Tab leads to is gone, take the nearest node instead, and the focus with it. */
function keepActive(all, before) {
  if (all.has(active.value)) return;
  const { x, y } = before?.get(active.value)?.box ?? { x: 0, y: 0 };
  const away = ({ box }) => Math.hypot(box.x - x, box.y - y);
  const nodes = [...all.values()].filter((p) => p.kind === "node").sort((a, b) => away(a) - away(b));
  active.value = nodes[0]?.id ?? null;
  if (before && document.activeElement === document.body) elementOf(active.value)?.focus({ preventScroll: true });
}

export function View() {
  const [ref, size] = useSize();
  const all = parts.value;
  const there = all !== null && size.width > 0;
  const name = run.value?.run.name;
  useLayoutEffect(() => void (fitted = null), [name]);
  // What was fitted stays so until somebody pans or zooms.
  useLayoutEffect(() => {
    if (there && (fitted === null || camera.value === fitted)) fit(size);
  }, [there, size, name, drawing.value?.layout]);
  const before = useRef(null);
  useLayoutEffect(() => {
    if (all) keepActive(all, before.current);
    before.current = all;
  }, [all]);
  const marking = markedParts.value.size > 0;
  const on = useMemo(() => handlers(ref, size), [size.width, size.height]);
  return html`
    ${there && html`<${Tools} size=${size} />`}
    <div class="canvas" ref=${ref}>
      ${!all && html`<${Empty} title="Loading the drawing" />`}
      ${there && html`<svg role="application" width=${size.width} height=${size.height} data-testid="canvas"
        aria-label=${`Template ${drawing.value.template.title}`} data-marking=${marking ? "true" : null}
        data-linking=${linking.value ? "true" : null} ...${on}>
        <${Drawing} />
      </svg>`}
    </div>
    ${there && html`<${Overlay} />`}
  `;
}
