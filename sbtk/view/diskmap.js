// The disk map's canvas. It draws the frame that Python sends and asks for others; the numbers, the
// zoom limits and the names of files are Python's. No build step, nothing is loaded from elsewhere.

const MARK = "#d55e00"; // vermillion: apart from the scale in hue; the dimming tells it in grey

const isDark = (el) => {
  const parts = (getComputedStyle(el).color.match(/[\d.]+/g) || [0, 0, 0]).map(Number);
  return 0.3 * parts[0] + 0.59 * parts[1] + 0.11 * parts[2] > 128; // light text: a dark page
};

const make = (parent, tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  parent.appendChild(node);
  return node;
};

const count = (value) => Math.round(value).toLocaleString("en-US");

const bytesText = (value) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) { value /= 1024; unit += 1; }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
};

const view = (buffer, Type) =>
  buffer ? new Type(buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength))
         : new Type(0);

class Map {
  constructor(model, el) {
    this.model = model;
    this.el = make(el, "div", "sbtk-map");
    this.cursor = 0;
    this.dirty = false;
    this.buildBar();
    this.canvas = make(this.el, "canvas", "sbtk-map-canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label",
      "Disk map. Arrow keys move from cell to cell, Enter lists the files there, plus and minus " +
      "zoom, Page Up and Page Down move the window, Home shows the whole volume.");
    this.strip = make(this.el, "canvas", "sbtk-map-strip");
    this.strip.title = "The whole volume; click to move the window there";
    this.strip.setAttribute("role", "img");
    this.strip.setAttribute("aria-label", "The whole volume, with the window that is shown");
    const foot = make(this.el, "div", "sbtk-map-foot");
    this.status = make(foot, "div", "sbtk-map-status");
    this.status.setAttribute("role", "status");
    this.status.setAttribute("aria-live", "polite");
    this.legend = make(foot, "div", "sbtk-map-legend");
    this.listen();
  }

  buildBar() {
    const bar = make(this.el, "div", "sbtk-map-bar");
    const label = make(bar, "label", "", "Colour by ");
    this.mode = make(label, "select", "sbtk-map-mode");
    for (const name of this.model.get("modes")) {
      make(this.mode, "option", "", name).value = name;
    }
    const button = (text, title, name, action) => {
      const node = make(bar, "button", `sbtk-map-${name}`, text);
      node.title = title;
      node.setAttribute("aria-label", title);
      node.onclick = action;
    };
    button("−", "Zoom out", "out", () => this.zoom(2));
    button("+", "Zoom in", "in", () => this.zoom(0.5));
    button("◀", "Towards the start", "left", () => this.pan(-0.5));
    button("▶", "Towards the end", "right", () => this.pan(0.5));
    button("Whole volume", "Show the whole volume", "whole",
      () => this.ask(0, this.model.get("total_clusters") - 1));
    this.range = make(bar, "span", "sbtk-map-range");
    this.mode.onchange = () => {
      const frame = this.frame;
      this.model.send({ type: "show", first: frame.first_lcn, last: frame.last_lcn,
        mode: this.mode.value });
    };
  }

  listen() {
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      const px = this.frame.cell_px;
      const column = Math.floor((event.clientX - box.left) / px);
      const row = Math.floor((event.clientY - box.top) / px);
      const cell = row * this.frame.columns + column;
      return column >= 0 && column < this.frame.columns && cell < this.frame.cells ? cell : -1;
    };
    const canvas = this.canvas;
    canvas.addEventListener("mousemove", (event) => this.point(at(event)));
    canvas.addEventListener("mouseleave", () => { this.hovering = false; this.draw(); });
    canvas.addEventListener("focus", () => this.draw()); // where the keyboard stands is seen
    canvas.addEventListener("blur", () => this.draw());
    canvas.addEventListener("click", (event) => { this.point(at(event)); this.pick(); });
    canvas.addEventListener("dblclick", (event) => { this.point(at(event)); this.zoom(0.25); });
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) return; // the page scrolls until the map is chosen
      event.preventDefault();
      this.point(at(event));
      this.zoom(event.deltaY > 0 ? 1.6 : 0.625);
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
    this.strip.addEventListener("click", (event) => {
      const box = this.strip.getBoundingClientRect();
      const total = this.model.get("total_clusters");
      const clusters = this.frame.last_lcn - this.frame.first_lcn + 1;
      const middle = ((event.clientX - box.left) / box.width) * total;
      this.ask(middle - clusters / 2, middle + clusters / 2 - 1);
    });
    this.model.on("change:frame", () => this.load());
    this.model.on("change:marks", () => this.draw());
    this.model.on("change:overview", () => this.draw());
    const redraw = () => this.draw();
    this.watcher = new MutationObserver(redraw);
    this.watcher.observe(document.body, { attributes: true });
    this.resizer = new ResizeObserver(() => this.fit());
    this.resizer.observe(this.el);
  }

  close() {
    this.watcher.disconnect();
    this.resizer.disconnect();
    clearTimeout(this.timer);
  }

  fit() { // tell Python how wide the page is, once it has stopped changing
    const width = Math.floor(this.el.clientWidth);
    if (!width || width === this.width) return;
    this.width = width;
    this.draw();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.model.send({ type: "width", px: width }), 60);
  }

  load() {
    const frame = this.model.get("frame");
    this.frame = frame;
    this.used = view(frame.used, Uint32Array);
    this.value = view(frame.value, Float32Array);
    this.shade = view(frame.shade, Uint8Array);
    this.mode.value = frame.mode;
    this.cursor = Math.min(this.cursor, frame.cells - 1);
    this.draw();
    this.tell();
  }

  bound(cell) { // where a cell begins: the same division as sbtk.extents.occupancy.cell_bounds
    const frame = this.frame;
    const clusters = frame.last_lcn + 1 - frame.first_lcn;
    const part = Math.floor(clusters / frame.cells);
    const rest = clusters % frame.cells;
    return frame.first_lcn + cell * part + Math.floor((cell * rest) / frame.cells);
  }

  colour(shade, dark) {
    const table = this.table || (this.table = view(this.model.get("colours"), Uint8Array));
    // More is darker on a light page and brighter on a dark one; the end next to the page's own
    // colour is left out, so that the lowest value is not taken for free.
    const index = dark ? 70 + Math.round((shade / 255) * 185) : 215 - Math.round((shade / 255) * 215);
    return [table[3 * index], table[3 * index + 1], table[3 * index + 2]];
  }

  draw() {
    if (!this.frame || !this.el.isConnected) return;
    const dark = isDark(this.el);
    const frame = this.frame;
    const marks = view(this.model.get("marks"), Uint8Array);
    const marked = marks.length === frame.cells && marks.some((item) => item);
    this.marked = marked ? marks : null;
    this.paint(this.canvas, frame, this.shade, this.marked, dark);
    this.drawStrip(dark);
    this.drawLegend(dark);
    const bytes = this.model.get("cluster_bytes");
    const clusters = frame.last_lcn - frame.first_lcn + 1;
    this.range.textContent = `clusters ${count(frame.first_lcn)} to ${count(frame.last_lcn)}` +
      (bytes ? ` (${bytesText(clusters * bytes)})` : "");
    this.canvas.dataset.first = frame.first_lcn;
    this.canvas.dataset.last = frame.last_lcn;
    this.canvas.dataset.marked = marks.reduce((sum, item) => sum + item, 0);
  }

  paint(canvas, frame, shade, marks, dark) {
    const ratio = window.devicePixelRatio || 1;
    const px = frame.cell_px;
    canvas.style.width = `${frame.columns * px}px`;
    canvas.style.height = `${frame.rows * px}px`;
    canvas.width = Math.round(frame.columns * px * ratio);
    canvas.height = Math.round(frame.rows * px * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const gap = px >= 7 ? 1 : px >= 5 ? 0.5 : 0;
    const free = dark ? "#2b2f36" : "#eceef1";
    for (let cell = 0; cell < frame.cells; cell += 1) {
      const x = (cell % frame.columns) * px;
      const y = Math.floor(cell / frame.columns) * px;
      const lit = marks && marks[cell];
      pen.globalAlpha = marks && !lit ? 0.28 : 1;
      pen.fillStyle = lit ? MARK : shade[cell] ? `rgb(${this.colour(shade[cell], dark)})` : free;
      pen.fillRect(x, y, px - gap, px - gap);
    }
    pen.globalAlpha = 1;
    if (document.activeElement === canvas || this.hovering) this.outline(pen, frame, dark);
  }

  outline(pen, frame, dark) {
    const px = frame.cell_px;
    const x = (this.cursor % frame.columns) * px;
    const y = Math.floor(this.cursor / frame.columns) * px;
    pen.lineWidth = 3;
    pen.strokeStyle = dark ? "#000" : "#fff";
    pen.strokeRect(x - 1, y - 1, px + 1, px + 1);
    pen.lineWidth = 1.5;
    pen.strokeStyle = dark ? "#fff" : "#000";
    pen.strokeRect(x - 1, y - 1, px + 1, px + 1);
  }

  drawStrip(dark) {
    const shade = view(this.model.get("overview"), Uint8Array);
    const total = this.model.get("total_clusters");
    const strip = this.strip;
    const width = this.frame.columns * this.frame.cell_px;
    strip.style.width = `${width}px`;
    strip.width = shade.length;
    strip.height = 14;
    const pen = strip.getContext("2d");
    for (let cell = 0; cell < shade.length; cell += 1) {
      pen.fillStyle = shade[cell] ? `rgb(${this.colour(shade[cell], dark)})`
                                  : dark ? "#2b2f36" : "#eceef1";
      pen.fillRect(cell, 0, 1, 14);
    }
    const from = (this.frame.first_lcn / total) * shade.length;
    const to = ((this.frame.last_lcn + 1) / total) * shade.length;
    if (to - from < shade.length - 0.5) {
      pen.fillStyle = dark ? "rgba(0,0,0,.55)" : "rgba(255,255,255,.65)";
      pen.fillRect(0, 0, from, 14);
      pen.fillRect(to, 0, shade.length - to, 14);
      pen.fillStyle = dark ? "#fff" : "#000";
      pen.fillRect(Math.min(from, shade.length - 3), 0, Math.max(to - from, 3), 2);
      pen.fillRect(Math.min(from, shade.length - 3), 12, Math.max(to - from, 3), 2);
    }
  }

  drawLegend(dark) {
    const frame = this.frame;
    this.legend.replaceChildren();
    const swatch = (colour, text) => {
      make(this.legend, "span", "sbtk-map-swatch").style.background = colour;
      make(this.legend, "span", "", text);
    };
    swatch(dark ? "#2b2f36" : "#eceef1", "free");
    make(this.legend, "span", "sbtk-map-end", `${frame.title}: ${frame.low}`);
    const ramp = make(this.legend, "span", "sbtk-map-ramp");
    const stops = [1, 64, 128, 192, 255].map((level) => `rgb(${this.colour(level, dark)})`);
    ramp.style.background = `linear-gradient(to right, ${stops.join(",")})`;
    make(this.legend, "span", "", frame.high);
    const lit = this.model.get("marked_label");
    if (lit) swatch(MARK, lit);
  }

  tell() {
    const frame = this.frame;
    const cell = this.cursor;
    if (cell < 0 || cell >= frame.cells) return;
    const first = this.bound(cell);
    const behind = this.bound(cell + 1);
    const bytes = this.model.get("cluster_bytes");
    const where = behind - first === 1 ? `Cluster ${count(first)}`
      : `Clusters ${count(first)} to ${count(behind - 1)}`;
    const place = bytes ? ` (${bytesText((behind - first) * bytes)} at ${bytesText(first * bytes)})` : "";
    const used = this.used[cell];
    let state = "free";
    if (used) {
      state = behind - first === 1 ? "in use" : `${count(used)} of ${count(behind - first)} in use`;
      if (frame.mode !== "occupancy") {
        const value = this.value[cell];
        state += `, ${value < 10 ? value.toFixed(1) : count(value)} ${frame.unit}`;
      }
    }
    if (this.marked && this.marked[cell]) state += `, ${this.model.get("marked_label") || "lit"}`;
    this.status.textContent = `${where}${place}: ${state}`;
  }

  point(cell) {
    if (cell < 0 || (cell === this.cursor && this.hovering)) return;
    this.cursor = cell;
    this.hovering = true;
    this.tell();
    requestAnimationFrame(() => this.draw());
  }

  pick() {
    this.canvas.focus();
    this.model.send({ type: "pick", first: this.bound(this.cursor),
      last: this.bound(this.cursor + 1) - 1 });
  }

  ask(first, last) {
    const total = this.model.get("total_clusters");
    const clusters = Math.max(Math.min(Math.round(last - first + 1), total), 1);
    const start = Math.max(Math.min(Math.round(first), total - clusters), 0);
    this.model.send({ type: "show", first: start, last: start + clusters - 1,
      mode: this.frame.mode });
  }

  zoom(factor) { // the cell under the cursor keeps its place in the picture
    const { first_lcn: first, last_lcn: last, cells } = this.frame;
    const clusters = last - first + 1;
    const next = Math.max(clusters * factor, 8);
    const fixed = this.bound(this.cursor);
    this.ask(fixed - (this.cursor / cells) * next, fixed + (1 - this.cursor / cells) * next - 1);
  }

  pan(share) {
    const { first_lcn: first, last_lcn: last } = this.frame;
    const step = (last - first + 1) * share;
    this.ask(first + step, last + step);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return; // the browser's own keys
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.frame.columns,
      ArrowDown: this.frame.columns }[event.key];
    if (step) {
      this.point(Math.max(0, Math.min(this.cursor + step, this.frame.cells - 1)));
    } else if (event.key === "+" || event.key === "=") this.zoom(0.5);
    else if (event.key === "-") this.zoom(2);
    else if (event.key === "PageUp") this.pan(-0.5);
    else if (event.key === "PageDown") this.pan(0.5);
    else if (event.key === "Home") this.ask(0, this.model.get("total_clusters") - 1);
    else if (event.key === "Enter" || event.key === " ") this.pick();
    else return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab has commands on these keys
  }
}

function render({ model, el }) {
  const map = new Map(model, el);
  map.load(); // draws once it is on the page: its size is observed
  return () => map.close();
}

export default { render };
