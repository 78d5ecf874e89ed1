// Candidates in columns: numbers in typed arrays that grow by doubling, so that 50,000 of them cost a page little.

const NUMBERS = { ids: Int32Array, rev: Int32Array, seconds: Float64Array, ts: Float64Array, probability: Float64Array };
const OTHERS = ["arch", "parts", "origin", "status", "tags", "pinned", "parent"];

/**
 * Row r is a candidate: `ids[r]`, `arch[r]`, `parts[r]` (indices into `partNames`), `origin[r]`, `status[r]`,
 * `tags[r]`, `pinned[r]`, `parent[r]`, `rev[r]`, `seconds[r]`, `ts[r]`, `probability[r]`, `feasible[r]` (1 or 0) and
 * `metric(name)[r]` (NaN where unknown). Only the first `count` entries of a typed array mean something.
 */
export class Rows {
  constructor() {
    this.clear();
  }

  clear() {
    Object.assign(this, { count: 0, seq: 0, room: 256, partNames: [], rowOf: new Map(), metrics: new Map() });
    for (const [name, Column] of Object.entries(NUMBERS)) this[name] = new Column(this.room);
    for (const name of OTHERS) this[name] = [];
    this.feasible = new Uint8Array(this.room);
  }

  /** Take the answer of `/api/candidates`: new rows go to the end, known ones (by id) get their new values. */
  take(found) {
    this.seq = found.seq;
    this.partNames = found.part_names;
    const at = found.ids.map((id) => this.rowOf.get(id) ?? this.#append(id));
    while (this.room < this.count) this.#grow();
    for (const name of Object.keys(NUMBERS)) {
      const given = found[name];
      if (given) at.forEach((row, i) => (this[name][row] = given[i] ?? NaN));
    }
    for (const name of OTHERS) if (found[name]) at.forEach((row, i) => (this[name][row] = found[name][i]));
    at.forEach((row, i) => (this.feasible[row] = found.feasible[i] ? 1 : 0));
    for (const [name, values] of Object.entries(found.metrics)) {
      const column = this.metric(name);
      at.forEach((row, i) => (column[row] = values[i] ?? NaN));
    }
  }

  #append(id) {
    this.rowOf.set(id, this.count);
    return this.count++;
  }

  #grow() {
    this.room *= 2;
    const longer = (old, Column, empty = 0) => {
      const column = new Column(this.room).fill(empty);
      column.set(old);
      return column;
    };
    for (const [name, Column] of Object.entries(NUMBERS)) this[name] = longer(this[name], Column);
    for (const [name, old] of this.metrics) this.metrics.set(name, longer(old, Float64Array, NaN));
    this.feasible = longer(this.feasible, Uint8Array);
  }

  /** Return the column of a metric; all NaN where no candidate has it. */
  metric(name) {
    if (!this.metrics.has(name)) this.metrics.set(name, new Float64Array(this.room).fill(NaN));
    return this.metrics.get(name);
  }

  /** Return the ids of the parts of a candidate; none where the candidate is not known. */
  partsOf(id) {
    const row = this.rowOf.get(id);
    return row === undefined ? [] : this.parts[row].map((part) => this.partNames[part]);
  }
}
