// What can be done to a part of the drawing, by whichever hand: keys, menu, pointer, buttons.

import { computed, signal } from "/static/vendor/preact.js";
import { say, send } from "/static/commands.js";
import { partsOf } from "/static/graph.js";
import { drawing, readOnly, run, select, selection } from "/static/store.js";

/** The drawing's parts by id (see graph.js), or null until they are there. */
export const parts = computed(() => drawing.value && partsOf(drawing.value));
/** The part from which an edge is being drawn: {source, x, y} in the drawing's coordinates, or null. */
export const linking = signal(null);
/** The block that is being dragged from the palette: {op, x, y, over: part id or null} on the screen, or null. */
export const dragged = signal(null);
/** What is open at a part: {kind: "menu" | "nudge", id, x, y} on the screen, or null. */
export const popup = signal(null);
/** Why the last edit was refused: {text, x, y} on the screen, or null. */
export const refusal = signal(null);

/** Whether the space is a drawing, which can be redrawn; of another one options can be steered. */
export const isDrawing = computed(() => run.value?.run.kind === "template");

/** The block of the palette that becomes a new group with one option. */
export const GROUP = "group";

/** Return what stands for a part on the page. */
export function elementOf(id) {
  return document.querySelector(`[data-part="${CSS.escape(id)}"]`);
}

/** Return where on the screen to speak about a part: below the left end of what is drawn of it. */
export function placeOf(id) {
  const box = (elementOf(id) ?? document.body).getBoundingClientRect();
  return { x: box.left, y: box.bottom };
}

/** Send a command; show at a place why it was refused. */
export async function attempt(op, args, place) {
  refusal.value = null;
  const reply = await send(op, args);
  if (reply.status === "rejected") refuse(reply.reason, place);
  return reply;
}

/** Show at a place why something cannot be done. */
export function refuse(text, place) {
  const mine = { text, ...place };
  refusal.value = mine;
  setTimeout(() => refusal.value === mine && (refusal.value = null), 8000);
}

/** Select a part, in addition to others where `more`. */
export function pick(id, more = false) {
  const { kind, group } = parts.value.get(id);
  if (kind === "group") return select({ nodes: [], group: id });
  const { nodes } = selection.value;
  const others = nodes.filter((node) => node !== id);
  select({ nodes: !more ? [id] : others.length < nodes.length ? others : [...nodes, id], group });
}

/** Return whether a part can be locked, excluded and freed. */
export function isSteerable({ kind, item, group }) {
  return kind === "edge" ? item.optional : kind === "group" || group !== null;
}

/**
 * Return what can be done to a part: [{key, label, why, act}]; `why` says why not, null where it can. `act` takes the
 * place on the screen to answer at.
 */
export function actionsOn(part) {
  const { id, kind, item } = part;
  const [isGroup, isEdge] = [kind === "group", kind === "edge"];
  const drawn = isDrawing.value;
  const fixed = isSteerable(part) ? null : "Every architecture uses it; only options and optional edges are steered.";
  const already = (word) => (item.status === word ? `It is ${word}.` : fixed);
  const status = (word) => (isGroup ? "Choose its options one by one." : already(word));
  const together = isGroup ? [id] : [id, ...selection.value.nodes.filter((n) => n !== id && isMate(part, n))];
  const many = together.length > 1 ? ` (${together.length})` : "";
  const steer = (op) => (place) => attempt(op, isGroup ? { choice: id } : { node: together }, place);
  const redraw = (op, args) => (place) => attempt(op, args, place);
  const ends = { source: item.source, target: item.target };
  const turned = { ...ends, optional: !item.optional };
  const all = [
    [true, "l", `Lock${many}`, steer("lock"), status("locked")],
    [true, "x", `Exclude${many}`, steer("exclude"), status("excluded")],
    [true, "f", isGroup ? "Free all" : `Free${many}`, steer("free"), fixed],
    [kind === "node", "n", "Nudge…", (place) => open("nudge", id, place), fixed],
    [drawn && !isEdge, "c", "Connect…", () => startLink(id)],
    [drawn && isGroup, "d", "Duplicate", redraw("duplicate_group", { group: id })],
    [drawn && isGroup, "D", "Duplicate behind", redraw("duplicate_group", { group: id, behind: true })],
    [drawn && isEdge, "o", `Make ${item.optional ? "fixed" : "optional"}`, redraw("connect", turned)],
    [drawn, "Delete", "Remove", isEdge ? redraw("disconnect", ends) : redraw("remove", { name: id })],
  ];
  return all
    .filter(([there]) => there)
    .map(([, key, label, act, why = null]) => ({ key, label, act, why: readOnly.value ?? why }));
}

/** Options are steered together with selected ones; where the space is no drawing, with those of their choice. */
function isMate(part, id) {
  const other = parts.value.get(id);
  if (!isSteerable(part) || !other || other.kind === "group" || !isSteerable(other)) return false;
  return selection.value.nodes.includes(part.id) && (isDrawing.value || other.group === part.group);
}

/** Do what a key stands for on a part, or say why not; returns false where it stands for nothing. */
export function press(key, id) {
  const action = actionsOn(parts.value.get(id)).find((a) => a.key === key);
  if (!action) return false;
  const place = placeOf(id);
  if (action.why) {
    refuse(action.why, place);
    say(action.why);
  } else action.act(place);
  return true;
}

/** Open the menu or the nudge of a part. */
export function open(kind, id, { x, y }) {
  popup.value = { kind, id, x, y };
}

// ---- edges and blocks

/** Begin an edge at a part; the next part that is chosen is its target. */
export function startLink(source, point = null) {
  const { box } = parts.value.get(source);
  linking.value = { source, ...(point ?? { x: box.x + box.w + 32, y: box.y + box.h / 2 }) };
  say(`Connecting ${source}. Go to the target with the arrow keys, press Enter to connect or Escape to leave it.`);
}

/** End the edge that is being drawn at a part, or nowhere. */
export function endLink(target, place) {
  const { source } = linking.value;
  linking.value = null;
  if (target === null || target === source) return null;
  if (parts.value.get(target).kind === "edge") return refuse("An edge ends at a node or a group.", place);
  return attempt("connect", { source, target }, place);
}

/** Return what a block may be put into: groups and edges, [{id, label}]. */
export function homesOf(op) {
  const { groups, edges } = drawing.value.template;
  const into = op === GROUP ? [] : groups.map(({ id }) => ({ id, label: `Into ${id}` }));
  return [...into, ...edges.map(({ id, source, target }) => ({ id, label: `Between ${source} and ${target}` }))];
}

/** Add a block where it was dropped: an option of a group, or a node in the middle of an edge. */
export function addBlock(op, home, place) {
  const part = parts.value.get(home);
  const group = part?.kind === "group" ? part.id : part?.group;
  const name = fresh(group ? prefix(group) + op : op);
  if (op === GROUP && part?.kind === "edge") {
    const options = [{ id: fresh("identity"), op: "identity" }];
    return attempt("add_group", { name, options, on: home }, place);
  }
  if (op !== GROUP && group) return attempt("add_option", { group, name, op }, place);
  if (op !== GROUP && part?.kind === "edge") return attempt("add_node", { name, op, on: home }, place);
  return refuse(`Drop it on ${op === GROUP ? "an edge" : "a group or an edge"}.`, place);
}

/** Return what the ids of a group's options begin with. */
function prefix(group) {
  const { item, short } = parts.value.get(parts.value.get(group).item.options[0]);
  return item.label.slice(0, item.label.length - short.length);
}

/** Return an id that no part of the run has or had. */
function fresh(name) {
  const taken = new Set(drawing.value.template.taken);
  let [id, number] = [name, 1];
  while (taken.has(id)) id = `${name}_${++number}`;
  return id;
}
