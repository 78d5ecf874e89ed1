// The drawing as a graph: what is next to what, where a line runs, what a part is called. No page here.

/**
 * Return the parts of a drawing by id: {id, kind: "node" | "group" | "edge", item, box, points, group, ins, outs,
 * short}. `item` is the template's entry; `ins` and `outs` are ids of edges, an option's own ones before its group's;
 * `short` is the label without what all options of the group begin with, as "conv3" of "stage1_conv3".
 */
export function partsOf({ template, layout }) {
  const parts = new Map();
  const home = new Map(template.groups.flatMap((g) => g.options.map((option) => [option, g.id])));
  for (const item of template.groups) add("group", item, layout.groups[item.id], null);
  for (const item of template.nodes) add("node", item, layout.nodes[item.id], home.get(item.id) ?? null);
  for (const { id, source, target } of template.edges) {
    parts.get(source).outs.push(id);
    parts.get(target).ins.push(id);
  }
  for (const part of parts.values()) {
    if (!part.group) continue;
    const labels = parts.get(part.group).item.options.map((option) => parts.get(option).item.label);
    part.short = part.item.label.slice(sharedPrefix(labels));
    part.ins = [...part.ins, ...parts.get(part.group).ins];
    part.outs = [...part.outs, ...parts.get(part.group).outs];
  }
  for (const item of template.edges) {
    const points = layout.edges[item.id];
    const [[x, y], [x2, y2]] = [points[0], points.at(-1)];
    parts.set(item.id, { id: item.id, kind: "edge", item, points, box: { x, y, w: x2 - x, h: y2 - y }, group: null });
  }
  return parts;

  function add(kind, item, box, group) {
    parts.set(item.id, { id: item.id, kind, item, box, group, ins: [], outs: [], short: item.label });
  }
}

/** Return how long the words are, each with its "_", that several labels begin with. */
function sharedPrefix([first, ...others]) {
  const words = first.split("_").map((_, i, all) => all.slice(0, i).join("_").length + (i > 0));
  return others.length ? (words.findLast((n) => others.every((label) => label.startsWith(first.slice(0, n)))) ?? 0) : 0;
}

const middle = ({ box }) => box.y + box.h / 2;
const centre = ({ box }) => box.x + box.w / 2;
const closest = (parts, y) => parts.toSorted((a, b) => Math.abs(middle(a) - y) - Math.abs(middle(b) - y))[0];

/** Return the id of the part where an arrow key leads from a part; `free` walks the plane and not the edges. */
export function neighbour(parts, id, key, free = false) {
  const part = parts.get(id);
  if (part.kind === "edge") return besideEdge(parts, part, key);
  if (key === "ArrowUp" || key === "ArrowDown") return inColumn(parts, part, key === "ArrowUp" ? -1 : 1);
  const forwards = key === "ArrowRight";
  const edges = free ? [] : forwards ? part.outs : part.ins;
  const ends = edges.map((e) => parts.get(parts.get(e).item[forwards ? "target" : "source"]));
  // Of several edges the one to the nearest layer: shortcuts are reached by `e`.
  const nearest = Math.min(...ends.map((end) => Math.abs(centre(end) - centre(part))));
  const there = ends.filter((end) => Math.abs(centre(end) - centre(part)) < nearest + 1);
  const next = there.length ? closest(there, middle(part)) : nextColumn(parts, part, forwards ? 1 : -1);
  if (!next) return id;
  const options = next.kind === "group" && !free ? next.item.options.map((option) => parts.get(option)) : [];
  return (options.length ? closest(options, middle(part)) : next).id;
}

function besideEdge(parts, { id, item }, key) {
  if (key === "ArrowLeft") return item.source;
  if (key === "ArrowRight") return item.target;
  const edges = [...parts.values()].filter((p) => p.kind === "edge");
  edges.sort((a, b) => a.box.x - b.box.x || a.box.y - b.box.y || a.box.h - b.box.h);
  const at = edges.findIndex((e) => e.id === id) + (key === "ArrowUp" ? -1 : 1);
  return edges[Math.min(Math.max(at, 0), edges.length - 1)].id;
}

/** Groups, each before its options, and other nodes of a part's layer, from top to bottom. */
function inColumn(parts, part, step) {
  const meets = ({ box }) => box.x < part.box.x + part.box.w && part.box.x < box.x + box.w;
  const column = [...parts.values()].filter((p) => p.kind !== "edge" && meets(p)).sort((a, b) => a.box.y - b.box.y);
  return (column[column.indexOf(part) + step] ?? part).id;
}

function nextColumn(parts, part, side) {
  const blocks = [...parts.values()].filter((p) => p.kind !== "edge" && !p.group);
  const away = (p) => side * (centre(p) - centre(part));
  const far = blocks.filter((p) => away(p) > part.box.w / 2);
  const near = Math.min(...far.map(away));
  const column = far.filter((p) => away(p) < near + 1);
  return column.length ? closest(column, middle(part)) : null;
}

/** Return the line of an edge: level where it meets a block, and where it passes a layer. */
export function line(points) {
  let path = `M${points[0]}`;
  for (let i = 1; i < points.length; i++) {
    const [[x, y], [x2, y2]] = [points[i - 1], points[i]];
    const bend = (x + x2) / 2;
    path += y === y2 ? `L${x2},${y2}` : `C${bend},${y} ${bend},${y2} ${x2},${y2}`;
  }
  return path;
}

/** Return the point halfway along the stretch of an edge with the most room: where it passes a layer, if it does. */
export function halfway(points) {
  const [[x, y], [x2, y2]] = points.length > 2 ? points.slice(1, 3) : points;
  return [(x + x2) / 2, (y + y2) / 2];
}

/**
 * Return what a part is called where it is not seen: "conv3, stage 2, fitness 0.71, n 12, locked". `about` may have
 * {fitness, n, nudge}.
 */
export function nameOf({ kind, item, group }, about = {}) {
  const words = kind === "edge" ? [`edge from ${item.source} to ${item.target}`] : [item.label];
  if (kind === "group") words.push(`group of ${item.options.length}, takes ${cardinality(item)}`);
  if (item.optional) words.push("optional");
  if (kind === "node") words.push(group ?? item.op);
  if (item.new) words.push("new");
  if (about.fitness != null) words.push(`fitness ${about.fitness.toFixed(2)}`);
  if (about.n !== undefined && kind !== "group") words.push(`n = ${about.n}`);
  if (item.status && item.status !== "free") words.push(item.status);
  if (about.nudge) words.push(`preference ${signed(about.nudge)}`);
  return words.join(", ");
}

export function cardinality({ cardinality: [low, high] }) {
  return low === high ? `${low}` : `${low} to ${high}`;
}

export function signed(h) {
  return `${h > 0 ? "+" : "−"}${Math.abs(h).toFixed(1)}`;
}

/** How many measured candidates use each part: `of(id)`, out of `total`. Counts a candidate once. */
export class Usage {
  constructor(parts) {
    this.parts = parts;
    this.order = [...parts.values()].filter((p) => p.kind === "node").sort((a, b) => a.box.x - b.box.x);
    this.clear();
  }

  clear() {
    Object.assign(this, { total: 0, counts: new Map(), counted: new Uint8Array(0) });
  }

  of(id) {
    return this.counts.get(id) ?? 0;
  }

  share(id) {
    return this.total ? this.of(id) / this.total : 0;
  }

  /** Count the rows that were measured since the last time. */
  take(rows) {
    if (rows.count < this.seen) this.clear();
    this.seen = rows.count;
    if (this.counted.length < rows.count) {
      const longer = new Uint8Array(rows.room);
      longer.set(this.counted);
      this.counted = longer;
    }
    for (let row = 0; row < rows.count; row++) {
      if (this.counted[row] || rows.status[row] !== "done") continue;
      this.counted[row] = 1;
      this.#count(new Set(rows.parts[row].map((part) => rows.partNames[part])));
    }
    return this;
  }

  #count(chosen) {
    this.total++;
    for (const id of usedBy(this.parts, this.order, chosen)) this.counts.set(id, this.of(id) + 1);
  }
}

/**
 * Return the ids of all nodes, groups and edges that a candidate uses, given its options and optional edges: those on
 * a way from an input to an output. `order` has the nodes from left to right.
 */
export function usedBy(parts, order, chosen) {
  const alive = new Set();
  const open = (edge) => !edge.item.optional || chosen.has(edge.id);
  const live = (part, edges, end) =>
    edges.length === 0 || edges.some((id) => open(parts.get(id)) && alive.has(parts.get(id).item[end]));
  for (const node of order) {
    if (node.group ? !chosen.has(node.id) : !live(node, node.ins, "source")) continue;
    alive.add(node.id);
    if (node.group) alive.add(node.group);
  }
  for (const node of order.toReversed()) if (!node.group && !live(node, node.outs, "target")) alive.delete(node.id);
  for (const { id, kind, item } of parts.values()) {
    if (kind === "edge" && open(parts.get(id)) && alive.has(item.source) && alive.has(item.target)) alive.add(id);
  }
  return alive;
}
