// Small pieces that several views use: icons, a button that explains why it is off, a panel that drops from a button.

import { html, useLayoutEffect, useRef, useState } from "/static/vendor/preact.js";
import { readOnly } from "/static/store.js";

const ICONS = {
  play: "M4 2.5v11l9-5.5z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z",
  step: "M3 2.5v11L10 8zM11 3h2v10h-2z",
  stop: "M4 4h8v8H4z",
  done: "M6.5 12.5 2.5 8.5 4 7l2.5 2.5L12 4l1.5 1.5z",
  failed: "M7 2h2v8H7zM7 12h2v2H7z",
  wait: "M2 7h3v3H2zM6.5 7h3v3h-3zM11 7h3v3h-3z",
  undo: "M6 2 2 6l4 4V7.5h4a2 2 0 0 1 0 4H6V13h4a3.5 3.5 0 0 0 0-7H6z",
  redo: "m10 2 4 4-4 4V7.5H6a2 2 0 0 0 0 4h4V13H6a3.5 3.5 0 0 1 0-7h4z",
  save: "M7.2 2h1.6v6l2-2 1.1 1.1L8 11 4.1 7.1 5.2 6l2 2zM3 12.4h10V14H3z",
  auto: "M8 2a6 6 0 1 0 0 12zM8 2a6 6 0 0 1 0 12v-1.5a4.5 4.5 0 0 0 0-9z",
  light: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM7.3 1h1.4v2.5H7.3zM7.3 12.5h1.4V15H7.3zM1 7.3h2.5v1.4H1zM12.5 7.3H15v1.4h-2.5z",
  dark: "M6.5 2A6 6 0 1 0 14 9.5 5 5 0 0 1 6.5 2z",
};

export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d=${ICONS[name]} /></svg>`;
}

/** A button that changes the run: off where nothing can be changed, or where `off` says why not. */
export function Act({ label, icon, onClick, off, title = label, main, text }) {
  const why = readOnly.value ?? off;
  return html`<button
    class=${main ? "button-main" : "button"} aria-label=${label} title=${why || title} disabled=${Boolean(why)}
    onClick=${onClick}>${icon && html`<${Icon} name=${icon} />`}${text}</button>`;
}

/** A button with a panel below it, which closes by Escape or a click elsewhere. `children` gets a function to close. */
export function Drop({ label, face, children, testid }) {
  const [open, setOpen] = useState(false);
  const box = useRef(null);
  useLayoutEffect(() => {
    if (!open) return undefined;
    const outside = (event) => box.current.contains(event.target) || setOpen(false);
    addEventListener("pointerdown", outside);
    const first = box.current.querySelector(".drop-panel :is(input, button)");
    first?.focus();
    first?.select?.();
    return () => removeEventListener("pointerdown", outside);
  }, [open]);
  const close = () => {
    setOpen(false);
    box.current.querySelector("button").focus();
  };
  const onKeyDown = (event) => {
    if (event.key !== "Escape" || !open) return;
    event.stopPropagation();
    close();
  };
  return html`<div class="drop" ref=${box} onKeyDown=${onKeyDown}>
    <button class="button-plain" aria-expanded=${open} title=${label} data-testid=${testid}
      onClick=${() => setOpen(!open)}>${face}</button>
    ${open && html`<div class="drop-panel" role="group" aria-label=${label}>${children(close)}</div>`}
  </div>`;
}

/** A drop with one field, `value` at first; `apply` gets what was entered. Further properties are the input's. */
export function Ask({ label, face, testid, text, verb, value, apply, ...input }) {
  const [wanted, setWanted] = useState("");
  const submit = (close) => (event) => {
    event.preventDefault();
    if (wanted.trim()) apply(wanted.trim()).then(() => close(setWanted("")));
  };
  return html`<${Drop} label=${label} face=${face} testid=${testid}>
    ${(close) => html`<form class="drop-form" onSubmit=${submit(close)}>
      <label>${text} <input class="field" ...${input} value=${wanted || value}
        onInput=${(event) => setWanted(event.target.value)} /></label>
      <${Act} label=${label} text=${verb} main off=${wanted.trim() ? null : "Enter something first."} />
    </form>`}
  <//>`;
}

/** Return a length of time in words: "45 s", "3 min", "2.5 h". */
export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** Return a number with as many digits as a person wants to read. */
export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e6) return value.toExponential(2);
  if (size >= 1000 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  return value.toPrecision(size < 1 ? 3 : 4);
}
