"use strict";
// A plot of the last minutes: lines over time, drawn as SVG. It knows numbers and names, and makes no markup of texts.

const Plot = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const SPAN_S = 300;
  const LEFT = 52, RIGHT = 10, TOP = 10, BOTTOM = 22;

  const node = (name, attributes = {}) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  /** The end of the axis, and the distance of its marks: 1, 2 or 5 times a power of ten, or of 1,024 for bytes. */
  const scale = (highest, isBytes) => {
    const unit = isBytes ? 1024 ** Math.max(0, Math.floor(Math.log(Math.max(highest, 1)) / Math.log(1024))) : 1;
    const most = Math.max(highest / unit, isBytes ? 0.001 : 1);
    const raw = most / 4;
    const power = 10 ** Math.floor(Math.log10(raw));
    let step = [1, 2, 5, 10].map((factor) => factor * power).find((own) => own >= raw * 0.999);
    if (!isBytes) step = Math.max(step, 1);
    return { end: Math.ceil(most / step - 1e-9) * step * unit, step: step * unit };
  };

  return class {
    /** `series`: [{ name, pick(point) }], of which the first has an area. `write(value)` makes a text of a value. */
    constructor(figure, { title, series, write, isBytes = false }) {
      Object.assign(this, { series, write, isBytes, title, points: [], at: null });
      const caption = document.createElement("figcaption");
      const name = document.createElement("h2");
      name.textContent = title;
      const legend = document.createElement("ul");
      this.values = series.map((own, place) => {
        const item = document.createElement("li");
        item.className = `series-${place}`;
        const label = document.createElement("span");
        label.textContent = own.name;
        const value = document.createElement("b");
        item.append(label, value);
        legend.append(item);
        return value;
      });
      this.when = document.createElement("span");
      this.when.className = "when faint";
      caption.append(name, this.when, legend);
      this.svg = node("svg", { role: "img", "aria-label": title });
      figure.classList.add("plot", "card");
      figure.append(caption, this.svg);
      new ResizeObserver(() => this.draw()).observe(this.svg);
      const move = (event) => { this.at = event.clientX - this.svg.getBoundingClientRect().left; this.draw(); };
      const leave = () => { this.at = null; this.draw(); };
      this.svg.addEventListener("pointermove", move);
      this.svg.addEventListener("pointerdown", move);
      this.svg.addEventListener("pointerleave", leave);
      this.svg.addEventListener("pointercancel", leave);
    }

    /** Shows points: [{ at (in ms), … }], the newest last. */
    show(points) {
      this.points = points;
      this.draw();
    }

    draw() {
      const width = this.svg.clientWidth, height = this.svg.clientHeight;
      if (!width || !height) return;
      this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      const drawn = [];
      const last = this.points.at(-1);
      const end = last ? last.at : 0;
      const seen = this.points.filter((point) => end - point.at <= SPAN_S * 1000);
      const highest = Math.max(0, ...seen.flatMap((point) => this.series.map((own) => own.pick(point) ?? 0)));
      const { end: top, step } = scale(highest, this.isBytes);
      const x = (at) => LEFT + (width - LEFT - RIGHT) * (1 - (end - at) / (SPAN_S * 1000));
      const y = (value) => TOP + (height - TOP - BOTTOM) * (1 - value / top);

      for (let mark = 0; mark <= top * 1.0001; mark += step) {
        drawn.push(node("line", { class: mark ? "grid" : "axis", x1: LEFT, x2: width - RIGHT, y1: y(mark), y2: y(mark) }));
        const text = node("text", { x: LEFT - 8, y: y(mark) + 4, "text-anchor": "end" });
        text.textContent = this.write(mark, true);
        drawn.push(text);
      }
      const every = width < 420 ? 150 : 60;
      for (let seconds = 0; seconds <= SPAN_S; seconds += every) {
        const place = x(end - seconds * 1000);
        const anchor = seconds === 0 ? "end" : seconds === SPAN_S ? "start" : "middle";
        const text = node("text", { x: place, y: height - 5, "text-anchor": anchor });
        text.textContent = seconds === 0 ? "now" : `−${seconds / 60} min`;
        drawn.push(text);
      }
      this.series.forEach((own, place) => {
        const known = seen.filter((point) => own.pick(point) != null);
        if (known.length < 2) return;
        const line = known.map((point) => `${x(point.at).toFixed(1)},${y(own.pick(point)).toFixed(1)}`).join(" L");
        if (place === 0) {
          const [first, newest] = [known[0], known.at(-1)];
          drawn.push(node("path", { class: "area", d: `M${line} L${x(newest.at)},${y(0)} L${x(first.at)},${y(0)} Z` }));
        }
        drawn.push(node("path", { class: `line series-${place}`, d: `M${line}` }));
      });

      let shown = last;
      if (this.at !== null && seen.length) {
        shown = seen.reduce((best, point) => (Math.abs(x(point.at) - this.at) < Math.abs(x(best.at) - this.at) ? point : best));
        drawn.push(node("line", { class: "cursor", x1: x(shown.at), x2: x(shown.at), y1: TOP, y2: height - BOTTOM }));
        this.series.forEach((own, place) => {
          const value = own.pick(shown);
          if (value != null) drawn.push(node("circle", { class: `dot series-${place}`, cx: x(shown.at), cy: y(value), r: 3.5 }));
        });
      }
      this.when.textContent = shown && shown !== last ? `${Math.round((end - shown.at) / 1000)} s ago` : "";
      this.series.forEach((own, place) => {
        const value = shown ? own.pick(shown) : null;
        this.values[place].textContent = value == null ? "–" : this.write(value);
        this.values[place].parentNode.hidden = seen.length > 1 && !seen.some((point) => own.pick(point) != null);
      });
      if (!seen.length) {
        const text = node("text", { class: "empty", x: width / 2, y: height / 2, "text-anchor": "middle" });
        text.textContent = "no figures yet";
        drawn.push(text);
      }
      const known = (_, place) => !this.values[place].parentNode.hidden;
      const now = this.series.filter(known).map((own) => `${own.name} ${this.values[this.series.indexOf(own)].textContent}`).join(", ");
      this.svg.setAttribute("aria-label", `${this.title}, last 5 minutes: ${now}; highest ${this.write(highest)}`);
      this.svg.replaceChildren(...drawn);
    }
  };
})();
