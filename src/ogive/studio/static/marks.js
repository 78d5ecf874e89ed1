// How a node, a group and an edge of the drawing look.

import { html } from "/static/vendor/preact.js";
import { cardinality, halfway, line, nameOf } from "/static/graph.js";

const LOCK = "M2 5.5h8v5.5h-8zM3.6 5.5v-2a2.4 2.4 0 0 1 4.8 0v2";
const CHAR = 0.56;

const at = ({ x, y }) => `translate(${x},${y})`;

function fitted(text, width, size) {
  const room = Math.max(1, Math.floor(width / (size * CHAR)));
  return text.length > room ? `${text.slice(0, room - 1)}…` : text;
}

/** What every part has: a name, a place in the order of keys, and hooks. `look` is {text, level} (see canvas.js). */
function common({ part, about, look, testid, marks }) {
  const { id, item } = part;
  const { selected, marked, used, idle, pending, target } = marks;
  return {
    role: "button",
    tabindex: look.active === id ? 0 : -1,
    "aria-label": nameOf(part, about),
    "aria-pressed": selected ? "true" : "false",
    "data-part": id,
    "data-testid": testid,
    "data-status": item.status,
    "data-marked": marked ? "true" : null,
    "data-used": used ? "true" : null,
    "data-idle": idle ? "true" : null,
    "data-pending": pending ? "true" : null,
    "data-target": target ? "true" : null,
  };
}

/** A padlock of a size, its lower left corner at a point. */
function Lock({ x, y, size }) {
  return html`<path class="lock" d=${LOCK} transform=${`translate(${x},${y}) scale(${size / 12}) translate(0,-11)`} />`;
}

function Ports({ box, reads, feeds }) {
  const y = box.h / 2;
  return html`${reads && html`<circle class="port" cx="0" cy=${y} r="4" />`}
    ${feeds && html`<circle class="port port-out" data-port cx=${box.w} cy=${y} r="6" />`}`;
}

/** A block: bar = fitness, thickness of the border = how many measured candidates use it. */
export function Node(props) {
  const { part, about, look, ring } = props;
  const { item, box } = part;
  const status = item.status ?? "free";
  const size = look.text;
  const beside = (status === "locked" ? size + 4 : 0);
  const nudge = about.nudge ? `${about.nudge > 0 ? "▲" : "▼"}${Math.abs(about.nudge).toFixed(1)}` : "";
  const fitness = about.fitness != null && look.scale >= 0.8 && about.fitness.toFixed(2);
  const figure = [nudge, fitness].filter(Boolean).join("  ");
  const room = box.w - 18 - beside - figure.length * size * CHAR;
  const thick = Math.min(6, Math.max(4, 3 / look.scale));
  const level = box.h - 6 - thick;
  const bar = about.fitness != null;
  const baseline = ((bar ? level : box.h) + size * 0.68) / 2 + 0.5;
  return html`<g ...${common({ ...props, testid: `node-${item.id}` })} class="node" transform=${at(box)}>
    <title>${describe(part, about)}</title>
    <rect class="node-box" width=${box.w} height=${box.h} rx="8" stroke-width=${1 + 3 * ring} />
    ${look.level === "far"
      ? part.group && html`<rect
          class="bar" x="6" y="10" width=${(box.w - 12) * props.share} height=${box.h - 20} rx="4" />`
      : html`<text class="node-label" x="9" y=${baseline} font-size=${size}>${fitted(part.short, room, size)}</text>
          <text class="node-figure" x=${box.w - 9 - beside} y=${baseline} font-size=${size * 0.92}>${figure}</text>
          ${bar && html`<rect class="track" x="9" y=${level} width=${box.w - 18} height=${thick} rx=${thick / 2} />
            <rect class="bar" x="9" y=${level} width=${(box.w - 18) * about.fitness} height=${thick} rx=${thick / 2} />`}`}
    ${status === "locked" && html`<${Lock} x=${box.w - 8 - size} y=${baseline} size=${size} />`}
    ${item.new && html`<circle class="new" cx=${box.w - 4} cy="4" r=${size * 0.36} />`}
    ${look.level === "near" && item.shape && html`<text class="shape" x=${box.w / 2} y=${box.h + 8} font-size="7.5">
      ${item.shape}</text>`}
    ${look.editable && html`<${Ports} box=${box} reads=${item.op !== "input"} feeds=${item.op !== "output"} />`}
  </g>`;
}

function describe(part, about) {
  const { item } = part;
  const args = Object.entries(item.args).map(([name, value]) => `${name} ${value}`);
  const more = [item.op, ...args, item.shape && `output ${item.shape}`].filter(Boolean);
  return `${nameOf(part, about)}\n${more.join(", ")}`;
}

/** The container of a choice. */
export function Group(props) {
  const { part, look } = props;
  const { item, box } = part;
  const size = Math.min(look.text, 20);
  const several = item.cardinality[0] !== 1 || item.cardinality[1] !== 1;
  const tail = several ? cardinality(item).replace(" to ", "–") : "";
  const baseline = 13 + size * 0.35;
  const room = box.w - 20 - tail.length * size * CHAR - 8;
  return html`<g ...${common({ ...props, testid: `group-${item.id}` })} class="group" transform=${at(box)}>
    <title>${nameOf(part)}</title>
    <rect class="group-box" width=${box.w} height=${box.h} rx="12" />
    <text class="group-label" x="10" y=${baseline} font-size=${size}>${fitted(item.label, room, size)}</text>
    <text class="group-figure" x=${box.w - 10} y=${baseline} font-size=${size}>${tail}</text>
    ${look.editable && html`<${Ports} box=${box} reads feeds />`}
  </g>`;
}

/** A connection: width = share of the measured candidates that use it. */
export function Edge(props) {
  const { part, look, share, shape } = props;
  const { item, points } = part;
  const path = line(points);
  const [x, y] = halfway(points);
  // Seen from further off the label is wider than the gap between two blocks: it goes above them.
  const [size, above] = look.level === "near" ? [7.5, 9] : [look.text * 0.9, 24];
  return html`<g ...${common({ ...props, testid: `edge-${item.source}-${item.target}` })} class="edge">
    <title>${nameOf(part, props.about)}${shape ? `\n${shape}` : ""}</title>
    <path class="edge-hit" d=${path} />
    <path class="edge-line" d=${path} stroke-width=${1.25 + 4 * share} />
    ${item.optional && html`<circle class="switch" cx=${x} cy=${y} r=${item.status === "locked" ? 11 : 7} />
      ${item.status === "locked" && html`<${Lock} x=${x - 6} y=${y + 6} size="12" />`}
      ${item.status === "excluded" && html`<path class="cross" d=${`M${x - 3} ${y - 3}l6 6m0 -6l-6 6`} />`}`}
    <text class="edge-label" x=${x} y=${y - above} font-size=${size}>${shape}</text>
  </g>`;
}
