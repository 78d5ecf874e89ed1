// What opens at a place on the screen: a menu, or a small dialog. One at a time; Escape or a click elsewhere closes it.

import { html, useEffect, useLayoutEffect, useRef } from "/static/vendor/preact.js";

const GAP = 8;

/** Move an element to a place on the screen, or as near as it fits. */
function put(element, { x, y }) {
  const { width, height } = element.getBoundingClientRect();
  element.style.left = `${Math.max(GAP, Math.min(x, innerWidth - width - GAP))}px`;
  element.style.top = `${Math.max(GAP, Math.min(y, innerHeight - height - GAP))}px`;
}

/** A word at the pointer that nobody has to answer. */
export function Hint({ place, testid, children }) {
  const ref = useRef(null);
  useLayoutEffect(() => put(ref.current, { x: place.x + GAP, y: place.y + GAP }), [place.x, place.y]);
  return html`<div class="refusal" ref=${ref} data-testid=${testid}>${children}</div>`;
}

/** A box at {x, y} that takes the focus and gives it back; `close` is called when it should go. */
export function Popup({ place, role, label, close, onKeyDown, children }) {
  const ref = useRef(null);
  useLayoutEffect(() => put(ref.current, place), [place.x, place.y]);
  useEffect(() => {
    const before = document.activeElement;
    const box = ref.current;
    const away = ({ target }) => !box.contains(target) && close();
    box.querySelector("[role=menuitem], input, button")?.focus();
    addEventListener("pointerdown", away, true);
    return () => {
      removeEventListener("pointerdown", away, true);
      const now = document.activeElement;
      if (now === document.body || box.contains(now)) before?.focus({ preventScroll: true });
    };
  }, []);
  const keys = (event) => {
    event.stopPropagation();
    if (event.key === "Escape" || event.key === "Tab") {
      event.preventDefault();
      close();
    } else onKeyDown?.(event);
  };
  return html`<div class="popup" ref=${ref} role=${role} aria-label=${label} onKeyDown=${keys}>${children}</div>`;
}

/** A menu of `items`: [{key, label, why, act}]; one with a `why` cannot be chosen, and says why. */
export function Menu({ place, label, items, close }) {
  const choose = (item) => {
    if (item.why) return;
    close();
    item.act(place);
  };
  const onKeyDown = (event) => {
    const entries = [...event.currentTarget.querySelectorAll("[role=menuitem]")];
    const at = entries.indexOf(document.activeElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    const chosen = items.find((item) => item.key === event.key);
    if (next !== undefined) entries.at(next % entries.length).focus();
    else if (chosen) choose(chosen);
    else return;
    event.preventDefault();
  };
  return html`<${Popup} place=${place} role="menu" label=${label} close=${close} onKeyDown=${onKeyDown}>
    ${items.map((item) => html`<button
      role="menuitem" class="menu-item" tabindex="-1" aria-disabled=${item.why ? "true" : null} title=${item.why}
      onClick=${() => choose(item)}>
      <span>${item.label}</span>${item.key && html`<kbd>${item.key === "Delete" ? "Del" : item.key}</kbd>`}
    </button>`)}
  <//>`;
}
