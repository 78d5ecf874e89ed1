// Shortcuts of the whole page, and the list of all shortcuts that help shows.

import { signal } from "/static/vendor/preact.js";

/** Shortcuts by place: [{place, keys, does}]; views describe here those that they handle themselves. */
export const shortcuts = signal([]);

const bound = new Map();

/** Add lines to the list of help: `describe("Canvas", { l: "lock the node" })`. */
export function describe(place, lines) {
  shortcuts.value = [...shortcuts.value, ...Object.entries(lines).map(([keys, does]) => ({ place, keys, does }))];
}

/** Call `action` wherever the keys are pressed, unless somebody types: `bind("Ctrl+z", "undo", undo)`. */
export function bind(keys, does, action) {
  bound.set(keys, action);
  describe("Everywhere", { [keys]: does });
}

/** Return the name of a key press as `bind` takes it; Command counts as Ctrl. */
export function name(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && (event.key.length > 1 || key !== event.key);
  return [(event.ctrlKey || event.metaKey) && "Ctrl", event.altKey && "Alt", shift && "Shift", key]
    .filter(Boolean)
    .join("+");
}

/** Return whether an event happens where a person types or chooses by letters. */
export function typing({ target }) {
  return target.isContentEditable || target.matches?.("input:not([type=range], [type=checkbox]), textarea, select");
}

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || typing(event)) return;
  const action = bound.get(name(event));
  if (!action || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  action();
});
