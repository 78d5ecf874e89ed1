"use strict";
// Everything the page says is in its table and drawings; this adds pointing, sorting, searching and brushing.
const table = document.querySelector("table");
const rows = [...table.tBodies[0].rows];
const heads = [...table.tHead.rows[0].cells];
const tip = document.getElementById("tip");
const marks = new Map();
for (const e of document.querySelectorAll("[data-i]")) {
  const i = e.dataset.i;
  if (!marks.has(i)) marks.set(i, []);
  marks.get(i).push(e);
}

let lit = null;
function light(i) {
  if (i === lit) return;
  for (const e of marks.get(lit) || []) e.classList.remove("on");
  for (const e of marks.get(i) || []) e.classList.add("on");
  lit = i;
}

function describe(i) {
  const row = rows.find((r) => r.dataset.i === i);
  tip.replaceChildren();
  if (!row) return false;
  heads.forEach((head, k) => {
    const line = document.createElement("div");
    line.textContent = (k === 1 ? "" : head.textContent + ": ") + row.cells[k].textContent;
    tip.append(line);
  });
  return true;
}

document.addEventListener("pointermove", (event) => {
  const e = event.target.closest ? event.target.closest("svg [data-i]") : null;
  const row = event.target.closest ? event.target.closest("tr[data-i]") : null;
  light(e ? e.dataset.i : row ? row.dataset.i : null);
  tip.hidden = !(e && describe(e.dataset.i));
  if (tip.hidden) return;
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(6, Math.min(event.clientX + 14, innerWidth - box.width - 6)) + "px";
  tip.style.top = (event.clientY + box.height + 20 > innerHeight ? event.clientY - box.height - 10 : event.clientY + 14) + "px";
});
document.addEventListener("click", (event) => {
  const e = event.target.closest("svg [data-i]");
  const row = e && rows.find((r) => r.dataset.i === e.dataset.i);
  if (row) row.scrollIntoView({ block: "center" });
});

heads.forEach((head, k) => {
  head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((h) => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (r) => r.cells[k].dataset.v === undefined ? r.cells[k].textContent : parseFloat(r.cells[k].dataset.v);
    const least = (v) => typeof v === "number" && Number.isNaN(v);
    rows.sort((a, b) => {
      const x = value(a), y = value(b);
      if (least(x) || least(y)) return least(x) - least(y);
      return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1);
    });
    table.tBodies[0].append(...rows);
  });
});

const search = document.getElementById("search");
const spans = new Map();
function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) row.hidden = !words.every((w) => row.textContent.toLowerCase().includes(w));
  for (const path of document.querySelectorAll(".path")) {
    const at = path.dataset.at.split(" ").map(Number);
    const inside = [...spans].every(([k, [low, high]]) => low <= at[k] && at[k] <= high);
    for (const e of marks.get(path.dataset.i)) e.tagName === "TR" ? (e.hidden = e.hidden || !inside) : e.classList.toggle("off", !inside);
  }
  document.getElementById("shown").textContent = rows.filter((r) => !r.hidden).length;
}
search.addEventListener("input", filter);

for (const rect of document.querySelectorAll(".brush")) {
  const svg = rect.ownerSVGElement, k = Number(rect.dataset.axis);
  const top = Number(rect.dataset.top), bottom = Number(rect.dataset.bottom);
  const span = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  span.setAttribute("class", "span");
  span.setAttribute("x", rect.getAttribute("x"));
  span.setAttribute("width", 20);
  span.setAttribute("height", 0);
  rect.after(span);
  const height = (event) => {
    const box = svg.getBoundingClientRect();
    return Math.max(top, Math.min(bottom, (event.clientY - box.top) / box.height * svg.viewBox.baseVal.height));
  };
  let from = null;
  rect.addEventListener("pointerdown", (event) => { from = height(event); rect.setPointerCapture(event.pointerId); });
  rect.addEventListener("pointermove", (event) => {
    if (from === null) return;
    const to = height(event), low = Math.min(from, to), high = Math.max(from, to);
    span.setAttribute("y", low);
    span.setAttribute("height", high - low);
  });
  rect.addEventListener("pointerup", (event) => {
    const to = height(event), size = bottom - top;
    if (Math.abs(to - from) < 4) { spans.delete(k); span.setAttribute("height", 0); }
    else spans.set(k, [(bottom - Math.max(from, to)) / size, (bottom - Math.min(from, to)) / size]);
    from = null;
    filter();
  });
}

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("pre").textContent);
    button.textContent = "copied";
  });
}
