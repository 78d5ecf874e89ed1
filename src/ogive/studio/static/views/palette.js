// The left rail: blocks to drag into the drawing, and the properties of what is selected.

import { html, useState } from "/static/vendor/preact.js";
import { GROUP, addBlock, dragged, homesOf, isDrawing, refusal } from "/static/editing.js";
import { Menu } from "/static/menu.js";
import { Empty } from "/static/panes.js";
import { drawing, readOnly } from "/static/store.js";
import { Properties } from "/static/views/properties.js";

/** Drag a block until the button is let go, then put it where it is. */
function drag(op, down) {
  if (down.button !== 0) return;
  const done = new AbortController();
  const listening = { signal: done.signal };
  const at = ({ clientX: x, clientY: y }) => ({ x, y });
  const under = ({ x, y }) => document.elementFromPoint(x, y)?.closest("[data-part]")?.dataset.part ?? null;
  const move = (event) => {
    const point = at(event);
    const far = Math.hypot(point.x - down.clientX, point.y - down.clientY) > 4;
    if (dragged.value || far) dragged.value = { op, ...point, over: under(point) };
  };
  const end = (event) => {
    done.abort();
    const was = dragged.value;
    dragged.value = null;
    if (was && event.type === "pointerup") {
      const canvas = document.elementFromPoint(event.clientX, event.clientY)?.closest(".canvas");
      if (canvas) addBlock(op, under(at(event)), at(event));
    }
  };
  const leave = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    end(event);
  };
  refusal.value = null;
  addEventListener("pointermove", move, listening);
  addEventListener("pointerup", end, listening);
  addEventListener("pointercancel", end, listening);
  addEventListener("keydown", leave, { ...listening, capture: true });
}

function Palette({ template }) {
  const [menu, setMenu] = useState(null);
  const why = readOnly.value;
  const choose = (op) => (event) => {
    // A click by keyboard or by touch without a drag asks where to.
    const { left, bottom } = event.currentTarget.getBoundingClientRect();
    const items = homesOf(op).map(({ id, label }) => ({ label, why: null, act: (place) => addBlock(op, id, place) }));
    setMenu({ op, items, place: { x: left, y: bottom } });
  };
  if (!isDrawing.value) {
    return html`<div class="palette" data-testid="palette"><p class="muted">
      This space is no drawing: its options can be locked, excluded and nudged, but no block added.</p></div>`;
  }
  const blocks = [GROUP, ...template.catalogue.map(({ op }) => op).filter((op) => op !== "input" && op !== "output")];
  return html`<div class="palette" data-testid="palette" tabindex=${why ? 0 : null}>
    ${why && html`<p class="muted">${why}</p>`}
    <ul>
      ${blocks.map((op) => html`<li key=${op}><button
        class="block" data-op=${op} disabled=${why !== null} aria-haspopup="menu"
        title=${why ?? "Drag it into a group or onto an edge; Enter asks where to"}
        onPointerDown=${(event) => drag(op, event)} onClick=${choose(op)}>
        ${op === GROUP ? "new group" : op}
      </button></li>`)}
    </ul>
    ${menu && html`<${Menu} key=${menu.op} place=${menu.place} label=${`Put ${menu.op}`} items=${menu.items}
      close=${() => setMenu(null)} />`}
  </div>`;
}

function Ghost() {
  const { value } = dragged;
  if (!value) return null;
  return html`<div class="ghost" style=${{ left: `${value.x}px`, top: `${value.y}px` }}>${value.op}</div>`;
}

export function View() {
  const there = drawing.value;
  if (!there) return html`<${Empty} title="Loading the blocks" />`;
  return html`
    <${Palette} template=${there.template} />
    <${Properties} />
    <${Ghost} />
  `;
}
