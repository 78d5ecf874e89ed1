// A scatter of many points, stamped into a buffer of pixels: 50,000 of them take a few milliseconds.

const TONES = 32;
// A stamp reaches REACH pixels from its middle, which lies at most as far outside the picture.
const REACH = 24;
const MARGIN = 2 * REACH;
const CORNERS = {
  triangle: [[0, -1.2], [1.1, 0.8], [-1.1, 0.8]],
  diamond: [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]],
  square: [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
  plus: [0.4, -0.4].flatMap((s) => [[-3, -1], [-1, -1], [-1, -3], [1, -3], [1, -1], [3, -1]]
    .map((corner) => corner.map((v) => s * v))),
};
export const SHAPES = ["circle", ...Object.keys(CORNERS), "cross"];

/** Flags of a look, beside its shape and tone; the tone 0 is grey. */
export const HOLLOW = 1 << 9;
export const FADED = 1 << 10;
/** Return the tone of a share from 0 to 1. */
export const tone = (share) => 1 + Math.round(Math.min(1, Math.max(0, share)) * (TONES - 1));
/** Return a look: what a point is drawn as. */
export const look = (shape, tone, flags = 0) => (SHAPES.indexOf(shape) << 6) | tone | flags;

/** Put the outline of a shape of radius r into a context. */
export function outline(context, shape, x, y, r) {
  context.beginPath();
  if (shape === "circle") context.arc(x, y, r, 0, 2 * Math.PI);
  else if (shape === "cross") for (const s of [-r, r]) (context.moveTo(x - r, y - s), context.lineTo(x + r, y + s));
  else (CORNERS[shape].forEach(([u, v]) => context.lineTo(x + u * r, y + v * r)), context.closePath());
}

const pixel = (r, g, b) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

/** Points in data coordinates over a plane whose `view` is {x0, x1, y0, y1}; lengths are in CSS pixels. */
export class Scatter {
  constructor(canvas) {
    Object.assign(this, { canvas, context: canvas.getContext("2d", { alpha: false }), key: "" });
    this.brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  }

  /** Set the size, radius and colours: `colours` = {ground, grey, ramp(share)}. */
  set(width, height, radius, colours) {
    const scale = devicePixelRatio;
    const key = [width, height, radius, colours.ground, colours.grey, scale].join();
    if (key === this.key) return;
    Object.assign(this, { key, width, height, radius, colours, scale, stamps: [] });
    Object.assign(this.canvas, { width: Math.round(width * scale), height: Math.round(height * scale) });
    this.stride = this.canvas.width + 2 * MARGIN;
    this.image = new ImageData(this.stride, this.canvas.height + 2 * MARGIN);
    this.words = new Uint32Array(this.image.data.buffer);
    Object.assign(this.brush.canvas, { width: 1, height: 1 });
    this.brush.fillStyle = colours.ground;
    this.brush.fillRect(0, 0, 1, 1);
    this.blank = pixel(...this.brush.getImageData(0, 0, 1, 1).data);
  }

  /** Draw `points` = {count, x, y, looks} as the view shows them. */
  draw(points, view) {
    Object.assign(this, { points, view });
    const { width, height } = this.canvas;
    const [kx, ky] = [width / (view.x1 - view.x0), height / (view.y1 - view.y0)];
    this.words.fill(this.blank);
    // What is faded lies below what is not.
    for (const faded of [FADED, 0]) {
      for (let i = 0; i < points.count; i++) {
        const what = points.looks[i];
        if ((what & FADED) !== faded) continue;
        const x = (points.x[i] - view.x0) * kx;
        const y = height - (points.y[i] - view.y0) * ky;
        // Points without a place are NaN and fail this too.
        if (!(x > -REACH && x < width + REACH && y > -REACH && y < height + REACH)) continue;
        const at = (Math.round(y) + MARGIN) * this.stride + Math.round(x) + MARGIN;
        this.#stamp(this.stamps[what] ?? this.#cut(what), at);
      }
    }
    this.context.putImageData(this.image, -MARGIN, -MARGIN);
  }

  #stamp({ solid, soft }, at) {
    const words = this.words;
    for (let k = 0; k < solid.length; k += 2) words[at + solid[k]] = solid[k + 1];
    for (let k = 0; k < soft.length; k += 5) {
      const [under, a] = [words[at + soft[k]], soft[k + 4] / 255];
      const [r, g, b] = [under & 255, (under >> 8) & 255, (under >> 16) & 255];
      words[at + soft[k]] = pixel(r + (soft[k + 1] - r) * a, g + (soft[k + 2] - g) * a, b + (soft[k + 3] - b) * a);
    }
  }

  /** Draw a look once and keep its pixels: those that cover what is below, and those that mix with it. */
  #cut(what) {
    const [brush, radius, shape] = [this.brush, this.radius * this.scale, SHAPES[(what >> 6) & 7]];
    const half = Math.min(REACH, Math.ceil(radius * 1.4) + 1);
    const side = 2 * half + 1;
    Object.assign(brush.canvas, { width: side, height: side });
    const colour = what & 63 ? this.colours.ramp(((what & 63) - 1) / (TONES - 1)) : this.colours.grey;
    Object.assign(brush, { lineWidth: Math.max(1, radius / 3), strokeStyle: colour, fillStyle: colour });
    brush.globalAlpha = what & FADED ? 0.22 : 1;
    outline(brush, shape, half + 0.5, half + 0.5, radius);
    if (what & HOLLOW || shape === "cross") brush.stroke();
    else brush.fill();
    // The smallest points have hard edges: there are many of them, and mixing colours is what takes time.
    const [opaque, clear] = radius < 2.5 && !(what & FADED) ? [127, 127] : [250, 4];
    const { data } = brush.getImageData(0, 0, side, side);
    const stamp = { solid: [], soft: [] };
    for (let k = 0; k < side * side; k++) {
      const [r, g, b, a] = data.subarray(4 * k, 4 * k + 4);
      const offset = (Math.floor(k / side) - half) * this.stride + (k % side) - half;
      if (a > opaque) stamp.solid.push(offset, pixel(r, g, b));
      else if (a > clear) stamp.soft.push(offset, r, g, b, a);
    }
    return (this.stamps[what] = stamp);
  }

  /** Return where a point of the data lies, in CSS pixels. */
  toScreen(x, y, { x0, x1, y0, y1 } = this.view) {
    return [((x - x0) / (x1 - x0)) * this.width, this.height - ((y - y0) / (y1 - y0)) * this.height];
  }

  /** Return what lies under a place of the screen, in data coordinates. */
  toData(px, py, { x0, x1, y0, y1 } = this.view) {
    return [x0 + (px / this.width) * (x1 - x0), y0 + ((this.height - py) / this.height) * (y1 - y0)];
  }

  /** Return the row of the point nearest to a place of the screen, the one on top of equals, or -1 if none is near. */
  nearest(px, py, within = 12) {
    return this.#least((dx, dy) => dx * dx + dy * dy, px, py, within * within);
  }

  /** Return the row of the nearest point in a direction, [±1, 0] or [0, ±1], from a place of the screen, or -1. */
  towards(px, py, [ux, uy]) {
    // Half a right angle to both sides; what lies straight ahead counts as nearer.
    return this.#least((dx, dy) => {
      const ahead = dx * ux + dy * uy;
      const aside = Math.abs(dx * uy) + Math.abs(dy * ux);
      return ahead > 0.5 && aside <= ahead ? ahead * ahead + 3 * aside * aside : Infinity;
    }, px, py, Number.MAX_VALUE);
  }

  #least(cost, px, py, limit) {
    const { x, y, count } = this.points;
    const [[x0, y0], [x1, y1]] = [this.toScreen(0, 0), this.toScreen(1, 1)];
    let [best, found] = [limit, -1];
    for (let i = 0; i < count; i++) {
      const c = cost(x0 + x[i] * (x1 - x0) - px, y0 + y[i] * (y1 - y0) - py);
      if (c <= best) [best, found] = [c, i];
    }
    return found;
  }

  /** Return the rows inside a closed line of places of the screen [[px, py], ...]. */
  inside(line) {
    const { x, y, count } = this.points;
    const corners = line.map(([px, py]) => this.toData(px, py));
    const sides = corners.map(([xk, yk], k) => [xk, yk, ...corners.at(k - 1)]);
    const crossed = (i) => sides.filter(([xk, yk, xl, yl]) =>
      yk > y[i] !== yl > y[i] && x[i] < ((xl - xk) * (y[i] - yk)) / (yl - yk) + xk);
    return Array.from({ length: count }, (_, i) => i).filter((i) => crossed(i).length % 2 === 1);
  }
}
