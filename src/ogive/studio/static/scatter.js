// A scatter of many points, stamped into a buffer of pixels: 50,000 of them take a few milliseconds.

const TONES = 32;
// A stamp reaches REACH pixels from its middle, which lies at most as far outside the picture.
const REACH = 24;
const MARGIN = 2 * REACH;
export const SHAPES = ["circle", "triangle", "diamond", "square", "plus", "cross"];

/** Flags of a look, beside its shape and tone. */
export const HOLLOW = 1 << 9;
export const FADED = 1 << 10;
/** The tone of what has no value. */
export const GREY = 0;

/** Return the tone of a share from 0 to 1. */
export const tone = (share) => 1 + Math.round(Math.min(1, Math.max(0, share)) * (TONES - 1));
/** Return a look: what a point is drawn as. */
export const look = (shape, colour, flags = 0) => (shape << 6) | colour | flags;

/** Add the outline of a shape of radius r to the path of a context. */
export function outline(context, shape, x, y, r) {
  const corners = {
    triangle: [[0, -1.2], [1.1, 0.8], [-1.1, 0.8]],
    diamond: [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]],
    square: [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
    plus: [[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2],
      [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]],
  }[shape];
  context.beginPath();
  if (shape === "circle") context.arc(x, y, r, 0, 2 * Math.PI);
  if (shape === "cross") for (const s of [-1, 1]) (context.moveTo(x - r, y - s * r), context.lineTo(x + r, y + s * r));
  if (corners) corners.forEach(([u, v]) => context.lineTo(x + u * r, y + v * r));
  if (corners) context.closePath();
}

/** Points in data coordinates over a plane whose `view` is {x0, x1, y0, y1}; lengths are in CSS pixels. */
export class Scatter {
  constructor(canvas) {
    Object.assign(this, { canvas, context: canvas.getContext("2d", { alpha: false }), points: null, view: null });
    this.brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    this.stamps = new Map();
    this.key = "";
  }

  /** Set the size, radius and colours: `colours` = {ground, grey, ramp(share)}. */
  set(width, height, radius, colours, scale = devicePixelRatio) {
    const key = [width, height, radius, colours.ground, colours.grey, scale].join();
    if (key === this.key) return;
    Object.assign(this, { key, width, height, colours, scale, radius: radius * scale });
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.stride = this.canvas.width + 2 * MARGIN;
    this.rows = this.canvas.height + 2 * MARGIN;
    this.image = new ImageData(this.stride, this.rows);
    this.words = new Uint32Array(this.image.data.buffer);
    this.stamps.clear();
    const [r, g, b] = this.#pixel(colours.ground);
    this.blank = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
  }

  /** Draw `points` = {count, x, y, looks} as the view shows them. */
  draw(points, view) {
    Object.assign(this, { points, view });
    const [width, height, pad] = [this.canvas.width, this.canvas.height, MARGIN];
    const kx = width / (view.x1 - view.x0);
    const ky = height / (view.y1 - view.y0);
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
        this.#stamp(this.stamps.get(what) ?? this.#cut(what), (Math.round(y) + pad) * this.stride + Math.round(x) + pad);
      }
    }
    this.context.putImageData(this.image, -pad, -pad);
  }

  #stamp({ full, inks, soft, red, green, blue, alpha }, at) {
    const words = this.words;
    for (let k = 0; k < full.length; k++) words[at + full[k]] = inks[k];
    for (let k = 0; k < soft.length; k++) {
      const under = words[at + soft[k]];
      const a = alpha[k];
      const r = (under & 255) + ((red[k] - (under & 255)) * a) / 255;
      const g = ((under >> 8) & 255) + ((green[k] - ((under >> 8) & 255)) * a) / 255;
      const b = ((under >> 16) & 255) + ((blue[k] - ((under >> 16) & 255)) * a) / 255;
      words[at + soft[k]] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
  }

  /** Draw a look once and keep its pixels: those that cover what is below, and those that mix with it. */
  #cut(what) {
    const half = Math.min(REACH, Math.ceil(this.radius * 1.4) + 1);
    const side = 2 * half + 1;
    const brush = this.brush;
    Object.assign(brush.canvas, { width: side, height: side });
    const colour = this.#colour(what & 63);
    const shape = SHAPES[(what >> 6) & 7];
    const [middle, thick] = [half + 0.5, Math.max(1, this.radius / 3)];
    brush.globalAlpha = what & FADED ? 0.22 : 1;
    outline(brush, shape, middle, middle, this.radius);
    Object.assign(brush, { lineWidth: thick, strokeStyle: colour, fillStyle: colour });
    if (what & HOLLOW || shape === "cross") brush.stroke();
    else brush.fill();
    const { data } = brush.getImageData(0, 0, side, side);
    const stamp = { full: [], inks: [], soft: [], red: [], green: [], blue: [], alpha: [] };
    for (let k = 0; k < side * side; k++) {
      const [r, g, b, a] = data.subarray(4 * k, 4 * k + 4);
      const offset = (Math.floor(k / side) - half) * this.stride + (k % side) - half;
      if (a > 250) (stamp.full.push(offset), stamp.inks.push(((255 << 24) | (b << 16) | (g << 8) | r) >>> 0));
      else if (a > 4) {
        stamp.soft.push(offset);
        [stamp.red, stamp.green, stamp.blue, stamp.alpha].forEach((list, i) => list.push([r, g, b, a][i]));
      }
    }
    this.stamps.set(what, stamp);
    return stamp;
  }

  #colour(at) {
    return at === GREY ? this.colours.grey : this.colours.ramp((at - 1) / (TONES - 1));
  }

  #pixel(colour) {
    Object.assign(this.brush.canvas, { width: 1, height: 1 });
    this.brush.fillStyle = colour;
    this.brush.fillRect(0, 0, 1, 1);
    return this.brush.getImageData(0, 0, 1, 1).data;
  }

  /** Return where a point of the data lies, in CSS pixels. */
  toScreen(x, y, view = this.view) {
    return [
      ((x - view.x0) / (view.x1 - view.x0)) * this.width,
      this.height - ((y - view.y0) / (view.y1 - view.y0)) * this.height,
    ];
  }

  /** Return what lies under a place of the screen, in data coordinates. */
  toData(px, py, view = this.view) {
    return [
      view.x0 + (px / this.width) * (view.x1 - view.x0),
      view.y0 + ((this.height - py) / this.height) * (view.y1 - view.y0),
    ];
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
    }, px, py, 1e12);
  }

  #least(cost, px, py, limit) {
    const { x, y, count } = this.points;
    const [x0, y0] = this.toScreen(0, 0);
    const [x1, y1] = this.toScreen(1, 1);
    let [best, found] = [limit, -1];
    for (let i = 0; i < count; i++) {
      const c = cost(x0 + x[i] * (x1 - x0) - px, y0 + y[i] * (y1 - y0) - py);
      if (c <= best && c < Infinity) [best, found] = [c, i];
    }
    return found;
  }

  /** Return the rows inside a closed line of places of the screen [[px, py], ...]. */
  inside(line) {
    const { x, y, count } = this.points;
    const corners = line.map(([px, py]) => this.toData(px, py));
    const found = [];
    for (let i = 0; i < count; i++) {
      let odd = false;
      for (let k = 0, l = corners.length - 1; k < corners.length; l = k++) {
        const [[xk, yk], [xl, yl]] = [corners[k], corners[l]];
        if (yk > y[i] !== yl > y[i] && x[i] < ((xl - xk) * (y[i] - yk)) / (yl - yk) + xk) odd = !odd;
      }
      if (odd) found.push(i);
    }
    return found;
  }
}
