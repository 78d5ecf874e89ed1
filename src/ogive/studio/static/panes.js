// The frame around the views: panes with tabs, bars between them that resize, and what every view needs of its pane.

import { Component, createContext, html, useContext, useEffect, useRef, useState } from "/static/vendor/preact.js";
import { savePicture } from "/static/picture.js";
import { Icon } from "/static/widgets.js";

const KEPT = "ogive-panes";
const STEP = 16;
const kept = JSON.parse(localStorage.getItem(KEPT) ?? "{}");

function keep(name, value) {
  kept[name] = value;
  localStorage.setItem(KEPT, JSON.stringify(kept));
}

/** Whether the view's pane is to be seen; a view that is not need not draw. */
export const Shown = createContext(true);

/** Return {data, error} of an answer (store.js) and keep it fresh while the view is shown; data is null at first. */
export function useResource(resource) {
  const shown = useContext(Shown);
  useEffect(() => (shown ? resource.use() : undefined), [resource, shown]);
  return { data: resource.data.value, error: resource.error.value };
}

/** Return [ref, {width, height}] of an element, in CSS pixels, 0 while it is hidden. */
export function useSize() {
  const ref = useRef(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  useEffect(() => {
    const watch = new ResizeObserver(([{ contentRect }]) =>
      setSize({ width: Math.floor(contentRect.width), height: Math.floor(contentRect.height) }),
    );
    watch.observe(ref.current);
    return () => watch.disconnect();
  }, []);
  return [ref, size];
}

/** What stands where a view has nothing to show: loading, empty or failed. */
export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children && html`<p>${children}</p>`}</div>`;
}

/** Holds a view, so that one that fails does not take the page with it. */
class Held extends Component {
  componentDidCatch(error) {
    console.error(error);
    this.setState({ error });
  }

  render({ View }, { error }) {
    if (!error) return html`<${View} />`;
    return html`<div class="empty" role="alert">
      <p class="empty-title">This view failed</p>
      <p>${error.message}</p>
      <button class="button" onClick=${() => this.setState({ error: null })}>Draw it again</button>
    </div>`;
  }
}

/**
 * A pane: `views` is [[name, View, isPicture], ...], shown one at a time behind tabs where there are several; a
 * picture can be saved.
 */
export function Pane({ id, views }) {
  const [open, setOpen] = useState(Math.min(kept[`tab-${id}`] ?? 0, views.length - 1));
  const choose = (at) => {
    setOpen(at);
    keep(`tab-${id}`, at);
  };
  const onKeyDown = (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const at = (open + by + views.length) % views.length;
    choose(at);
    event.currentTarget.children[at].focus();
    event.preventDefault();
  };
  const picture = () => savePicture(document.getElementById(`panel-${views[open][0]}`), views[open][0].toLowerCase());
  const tab = ([name], at) => html`<button
    role="tab" id=${`tab-${name}`} aria-controls=${`panel-${name}`} aria-selected=${at === open}
    tabindex=${at === open ? 0 : -1} onClick=${() => choose(at)}>${name}</button>`;
  const several = views.length > 1;
  return html`<section class=${`pane pane-${id}`} aria-label=${views.map(([name]) => name).join(" and ")}>
    <header class="pane-head">
      ${several
        ? html`<div role="tablist" onKeyDown=${onKeyDown}>${views.map(tab)}</div>`
        : html`<h2>${views[0][0]}</h2>`}
      <span class="spring"></span>
      ${views[open][2] && html`<button class="button-plain" aria-label=${`Save a picture of ${views[open][0]}`}
        title="Save as a picture" onClick=${picture}><${Icon} name="save" /></button>`}
    </header>
    ${views.map(([name, View], at) => html`<div
      class="pane-body" key=${name} id=${`panel-${name}`} hidden=${at !== open}
      role=${several ? "tabpanel" : null} aria-labelledby=${several ? `tab-${name}` : null}>
      <${Shown.Provider} value=${at === open}><${Held} View=${View} /><//>
    </div>`)}
  </section>`;
}

/**
 * A bar between two panes that sets the CSS length `--NAME` of the page, in pixels, `first` at first. `vertical` bars
 * move sideways; `back` where the pane that grows lies behind the bar.
 */
export function Splitter({ name, label, least, most, first, vertical = false, back = false }) {
  const [value, setValue] = useState(kept[name] ?? first);
  const sign = back ? -1 : 1;
  const limit = Math.max(least, Math.min(most, (vertical ? innerWidth : innerHeight) * 0.6));
  const set = (next) => {
    const fit = Math.round(Math.min(limit, Math.max(least, next)));
    setValue(fit);
    keep(name, fit);
  };
  useEffect(() => document.documentElement.style.setProperty(`--${name}`, `${value}px`), [value]);
  const onPointerDown = (down) => {
    const bar = down.currentTarget;
    const at = (event) => (vertical ? event.clientX : event.clientY) * sign;
    bar.setPointerCapture(down.pointerId);
    bar.onpointermove = (event) => set(value + at(event) - at(down));
    bar.onpointerup = bar.onpointercancel = () => (bar.onpointermove = null);
    down.preventDefault();
    bar.focus();
  };
  const onKeyDown = (event) => {
    const by = { ArrowRight: STEP, ArrowDown: STEP, ArrowLeft: -STEP, ArrowUp: -STEP }[event.key] * sign;
    const next = { Home: least, End: limit }[event.key] ?? value + by;
    if (Number.isNaN(next)) return;
    set(next);
    event.preventDefault();
  };
  return html`<div class=${vertical ? "splitter splitter-vertical" : "splitter"} role="separator" tabindex="0"
    aria-orientation=${vertical ? "vertical" : "horizontal"} aria-label=${label} aria-valuenow=${value}
    aria-valuemin=${least} aria-valuemax=${Math.round(limit)}
    title="Drag, or use the arrow keys; double-click for the first size"
    onPointerDown=${onPointerDown} onKeyDown=${onKeyDown} onDblClick=${() => set(first)}></div>`;
}
